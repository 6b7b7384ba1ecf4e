/** The steps that look at the sources; each counts as one test. */
import { checkDocuments } from "../check/documents.ts";
import { checkGeneratedProtocol } from "../check/protocol.ts";
import { runChild } from "./child.ts";
import type { Part, Step, StepContext, StepResult } from "./step.ts";

const MINUTE = 60_000;

/** A program that ends with 0 when all is well. */
function program(
  name: string,
  part: Part,
  argv: readonly [string, ...string[]],
  options: { deadlineMs?: number; cwd?: string; env?: Record<string, string> } = {},
): Step {
  return {
    name,
    part,
    async run({ root, env, signal }) {
      const { ok, how, output } = await runChild({
        argv,
        cwd: options.cwd === undefined ? root : `${root}/${options.cwd}`,
        env: { ...env, ...options.env },
        deadlineMs: options.deadlineMs ?? 3 * MINUTE,
        signal,
      });
      return one(ok ? [] : [`${argv.join(" ")}: ${how}`], output);
    },
  };
}

/** A function that returns what is wrong, one line each. */
function check(name: string, work: (context: StepContext) => Promise<string[]>): Step {
  return { name, part: "check", run: async (context) => one(await work(context)) };
}

function one(failures: string[], output?: string): StepResult {
  const failed = failures.length > 0 ? 1 : 0;
  return { counts: { passed: 1 - failed, failed, skipped: 0 }, failures, ...(output === undefined ? {} : { output }) };
}

/** The guard is no member of the workspace: a shared library cannot be linked statically. */
export const MEMORY_GUARD = ["--manifest-path", "crates/memory-guard/Cargo.toml"] as const;
const CLIPPY = ["--all-targets", "--locked", "--", "--deny", "warnings"] as const;
const SHARED_LIBRARY = { RUSTFLAGS: "" };

export const CHECK_STEPS: readonly Step[] = [
  program("format", "check", ["oxfmt", "--check", "."]),
  program("lint", "check", ["oxlint", "--type-aware", "--deny-warnings"]),
  program("types", "check", ["tsc", "--noEmit"]),
  program("types (console)", "check", ["tsc", "--noEmit"], { cwd: "apps/console" }),
  check("documents", async ({ root }) => await checkDocuments(root)),
  program("protocol lint", "check", ["buf", "lint"], { cwd: "packages/protocol" }),
  check("protocol generated", checkGeneratedProtocol),
  program("rust format", "rust", ["cargo", "fmt", "--all", "--check"]),
  program("rust format (memory-guard)", "rust", ["cargo", "fmt", "--check", ...MEMORY_GUARD]),
  program("clippy", "rust", ["cargo", "clippy", "--workspace", ...CLIPPY], { deadlineMs: 10 * MINUTE }),
  program("clippy (memory-guard)", "rust", ["cargo", "clippy", ...MEMORY_GUARD, ...CLIPPY], {
    deadlineMs: 5 * MINUTE,
    env: SHARED_LIBRARY,
  }),
];
