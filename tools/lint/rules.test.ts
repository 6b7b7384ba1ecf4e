/** Each rule on code that it has to find, and on its nearest allowed neighbour. */
import { RuleTester } from "oxlint/plugins-dev";
import { describe, it } from "vitest";
import { appBoundaries } from "./app-boundaries.ts";
import { effectsOnly } from "./effects-only.ts";
import { noEnvironment } from "./no-environment.ts";
import { noShell } from "./no-shell.ts";

RuleTester.describe = describe;
RuleTester.it = it;
const tester = new RuleTester();
const IN_AGENT = "/checkout/apps/host-agent/src/vmm/vmm.ts";

tester.run("effects-only", effectsOnly, {
  valid: [
    { filename: IN_AGENT, code: 'import type { ChildProcess } from "node:child_process";' },
    { filename: IN_AGENT, code: 'import { readFile } from "node:fs/promises";' },
    { filename: IN_AGENT, code: 'import { remove } from "@wrenn/effects"; remove("x");' },
    { filename: IN_AGENT, code: 'import * as fs from "node:fs/promises"; fs.readFile("x"); other.rm("x");' },
    { filename: "/checkout/packages/effects/src/files.ts", code: 'import { rename } from "node:fs/promises";' },
    { filename: "/checkout/apps/cli/src/x.host.test.ts", code: 'import { spawn } from "node:child_process";' },
    { filename: "/checkout/tools/test/x.ts", code: 'import { spawn } from "node:child_process";' },
  ],
  invalid: [
    { filename: IN_AGENT, code: 'import { spawn } from "node:child_process";', errors: 1 },
    { filename: IN_AGENT, code: 'import { type ChildProcess, spawn } from "child_process";', errors: 1 },
    { filename: IN_AGENT, code: 'import { execa } from "execa";', errors: 1 },
    { filename: IN_AGENT, code: 'import { mkdir, rename, rm as gone } from "node:fs/promises";', errors: 2 },
    { filename: IN_AGENT, code: 'import { unlinkSync } from "node:fs";', errors: 1 },
    { filename: IN_AGENT, code: 'import * as fs from "node:fs/promises"; await fs.rm("x");', errors: 1 },
  ],
});

tester.run("no-shell", noShell, {
  valid: [
    { code: 'import { execFile, spawn } from "node:child_process";' },
    { code: 'spawn("ls", [], { shell: false });' },
    { code: "const user = { name, shell: entry.shell };" },
    { code: 'pattern.exec("text");' },
  ],
  invalid: [
    { code: 'import { exec } from "node:child_process";', errors: 1 },
    { code: 'import { execSync as run } from "child_process";', errors: 1 },
    { code: 'spawn("ls -l", { shell: true });', errors: 1 },
    { code: 'spawn("ls -l", { shell: "/bin/bash" });', errors: 1 },
  ],
});

tester.run("no-environment", noEnvironment, {
  valid: [
    { filename: "/checkout/apps/cli/src/config.ts", code: "parse(process.env);" },
    { filename: "/checkout/apps/cli/src/main.ts", code: "parse(process.env);" },
    { filename: "/checkout/tests/e2e/platform.ts", code: "process.env.PATH;" },
    { filename: IN_AGENT, code: "process.exit(1); config.env;" },
  ],
  invalid: [
    { filename: IN_AGENT, code: "process.env.WRENN_DIR;", errors: 1 },
    { filename: IN_AGENT, code: 'process.env["WRENN_DIR"];', errors: 1 },
    { filename: IN_AGENT, code: "const { env, pid } = process;", errors: 1 },
    { filename: IN_AGENT, code: 'import { env } from "node:process";', errors: 1 },
  ],
});

tester.run("app-boundaries", appBoundaries, {
  valid: [
    { filename: IN_AGENT, code: 'import { x } from "@wrenn/errors";' },
    { filename: IN_AGENT, code: 'import { x } from "../network/network.ts";' },
    { filename: "/checkout/tests/e2e/x.ts", code: 'import { x } from "../../apps/cli/src/config.ts";' },
  ],
  invalid: [
    { filename: IN_AGENT, code: 'import { x } from "@wrenn/cli";', errors: 1 },
    { filename: IN_AGENT, code: 'import type { X } from "@wrenn/control-plane/x";', errors: 1 },
    { filename: IN_AGENT, code: 'export * from "../../../cli/src/config.ts";', errors: 1 },
    { filename: IN_AGENT, code: 'await import("../../../control-plane/src/main.ts");', errors: 1 },
    {
      filename: "/checkout/packages/errors/src/index.ts",
      code: 'export { x } from "../../../apps/cli/src/x.ts";',
      errors: 1,
    },
  ],
});
