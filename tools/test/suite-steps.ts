/** The steps that run tests. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sharedBaseImage } from "../../guest/testing/test-guest.ts";
import { countCargoTests, failedCargoTests, withoutSuccesses } from "./cargo-results.ts";
import { MEMORY_GUARD } from "./check-steps.ts";
import { runChild } from "./child.ts";
import { add, NONE } from "./counts.ts";
import type { Part, Step, StepContext } from "./step.ts";
import { runVitestInTestbed, skippedWithoutTestbed } from "./vitest-in-testbed.ts";
import { readReport, summarise, vitestArgv } from "./vitest-run.ts";

const MINUTE = 60_000;
/** How much longer the full run may take. */
const FULL_FACTOR = 4;
const NESTED_DEADLINE_MS = 15 * MINUTE;
const NESTED_MEMORY_MIB = 2_048;
/** The full run fuzzes for two hours. */
const FULL_CARGO_MS = 240 * MINUTE;

interface CargoOptions {
  env?: Record<string, string>;
  /** The guest agent's tests run in template `base`. */
  inBaseImage?: boolean;
}

function cargoSuite(name: string, argv: readonly string[], { env = {}, inBaseImage = false }: CargoOptions): Step {
  return {
    name,
    part: "rust",
    async run(context) {
      if (context.pattern !== undefined) return { counts: NONE, failures: [] }; // a path of a TypeScript test
      const { ok, how, output } = await runChild({
        argv: ["cargo", "test", "--locked", "--no-fail-fast", ...argv],
        cwd: context.root,
        env: { ...context.env, ...env, ...(inBaseImage ? await guestAgentRoot(context) : {}) },
        deadlineMs: context.full ? FULL_CARGO_MS : 15 * MINUTE,
        signal: context.signal,
      });
      const counts = countCargoTests(output);
      const failures = failedCargoTests(output);
      const told = withoutSuccesses(output);
      // a compiler error or a crash of a test binary has no result line
      if (ok || counts.failed > 0) return { counts, failures, output: told };
      return { counts: add(counts, { ...NONE, failed: 1 }), failures: [`cargo test: ${how}`], output: told };
    },
  };
}

/** What the enclosure of the guest agent's tests is told (crates/envd/tests/support/enclosure.sh); it needs root. */
async function guestAgentRoot({ signal }: StepContext): Promise<Record<string, string>> {
  return process.getuid?.() === 0 ? { ENVD_TEST_ROOT: await sharedBaseImage(signal) } : {};
}

function vitestSuite(project: Extract<Part, "unit" | "host" | "vm">, deadlineMs: number): Step {
  return {
    name: project,
    part: project,
    needsRoot: project !== "unit",
    async run(context) {
      const report = join(tmpdir(), `wrenn-test-${process.pid}-${project}.json`);
      try {
        const { ok, how } = await runChild({
          argv: vitestArgv(project, context),
          cwd: context.root,
          env: { ...context.env, WRENN_TEST_REPORT: report },
          deadlineMs: deadlineMs * (context.full ? FULL_FACTOR : 1),
          signal: context.signal,
          stream: true,
        });
        return summarise(project, { ok, how, report: await readReport(report) });
      } finally {
        await rm(report, { force: true });
      }
    },
  };
}

/** The tests for which this machine's kernel may lack something, in the testbed: docs/reference/testbed.md. */
const nestedSuite: Step = {
  name: "nested",
  part: "nested",
  needsRoot: true,
  async run(context) {
    const skipped = await skippedWithoutTestbed("nested", context);
    if (skipped !== undefined) return skipped;
    const exchangeDirectory = await mkdtemp(join(tmpdir(), "wrenn-test-nested-"));
    try {
      const end = await runVitestInTestbed(context, {
        project: "nested",
        exchangeDirectory,
        memoryMib: NESTED_MEMORY_MIB,
        deadlineMs: NESTED_DEADLINE_MS * (context.full ? FULL_FACTOR : 1),
        isolate: false,
      });
      return summarise("nested", end);
    } finally {
      await rm(exchangeDirectory, { recursive: true, force: true });
    }
  },
};

export const SUITE_STEPS: readonly Step[] = [
  cargoSuite("cargo test", ["--workspace"], { inBaseImage: true }),
  cargoSuite("cargo test (memory-guard)", MEMORY_GUARD, { env: { RUSTFLAGS: "" } }),
  vitestSuite("unit", 5 * MINUTE),
  vitestSuite("host", 15 * MINUTE),
  vitestSuite("vm", 25 * MINUTE),
  nestedSuite,
];
