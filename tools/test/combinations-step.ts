/**
 * The suites with VMs on every pair of VMM and disks that there is, a shard each, in the testbed. A run can be ended and
 * gone on with (`tests/host-agent/journal.ts`): what passed is not run again.
 */
import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EXCHANGE_MOUNT } from "@wrenn/testbed";
import { chooseNestedAcceleration } from "@wrenn/virtualization";
import { Journal } from "../../tests/host-agent/journal.ts";
import { bundle } from "../../tests/nested/bundle.ts";
import { ALL, tellCombinations, type Combination } from "../../tests/nested/combinations.ts";
import { prepareSharedGuest } from "../../tests/nested/shared-guest.ts";
import { runChild } from "./child.ts";
import { SUITES, type Suite } from "./combination-suites.ts";
import { combinationTable, type Shard } from "./combination-table.ts";
import { add, NONE, type Counts } from "./counts.ts";
import type { Step, StepContext, StepResult } from "./step.ts";
import { runVitestInTestbed, skippedWithoutTestbed } from "./vitest-in-testbed.ts";
import { readReport, summarise, vitestArgv } from "./vitest-run.ts";

/** How many times as long things may take on an emulated processor. */
const EMULATED_PATIENCE = 10;
const SHARD_DEADLINE_MS = 10 * 60_000;
const MEMORY_MIB = 4_096;

export const combinationsStep: Step = {
  name: "combinations",
  part: "combinations",
  needsRoot: true,
  async run(context) {
    const skipped = await skippedWithoutTestbed("combinations", context);
    if (skipped !== undefined) return skipped;
    tellCombinations(ALL);
    await prepareSharedGuest(context.signal);
    const journal = new Journal<Shard>("combinations");
    const shards: Shard[] = [...journal.entries];
    const failures: string[] = [];
    for (const [suite, combination] of chosen(context)) {
      if (context.signal.aborted || journal.timeIsOver) break;
      const what = `${suite.name}, ${combination.name}`;
      if (journal.has(what)) continue;
      console.log(`\n-- ${what}`);
      const startedAt = performance.now();
      const result = await runShard(context, suite, combination);
      const seconds = (performance.now() - startedAt) / 1_000;
      const shard = { what, combination: combination.name, suite: suite.name, ...result.counts, seconds };
      shards.push(shard);
      failures.push(...result.failures.map((failure) => `${what}: ${failure}`));
      if (result.failures.length === 0) journal.add(shard);
    }
    const names = (all: readonly { name: string }[]): string[] => all.map(({ name }) => name);
    console.log(`\n${combinationTable(shards, names(ALL), names(SUITES))}`);
    return { counts: shards.reduce<Counts>(add, NONE), failures };
  },
};

/** Every suite on every pair that can be here; of a sharded run its part. */
function chosen({ pattern = "", shard = "1/1", env }: StepContext): [Suite, Combination][] {
  const [index, count] = shard.split("/").map(Number) as [number, number];
  const isWanted = ({ vmm, disks, lacks }: Combination): boolean =>
    lacks === undefined && (env["WRENN_TEST_VMM"] ?? vmm) === vmm && (env["WRENN_TEST_DISKS"] ?? disks) === disks;
  const pairs = ALL.filter(isWanted);
  return SUITES.filter((suite) => suite.pattern.includes(pattern))
    .flatMap((suite) => pairs.map((pair): [Suite, Combination] => [suite, pair]))
    .filter((_, at) => at % count === index - 1);
}

async function runShard(context: StepContext, suite: Suite, combination: Combination): Promise<StepResult> {
  const patience = (await chooseNestedAcceleration()) === "tcg" ? EMULATED_PATIENCE : 1;
  const kept = context.env["WRENN_TEST_JOURNAL"];
  // A comma or a space would end a word of QEMU's.
  const name = `${suite.name} ${combination.name}`.replaceAll(" ", "-");
  const exchangeDirectory = kept === undefined ? await mkdtemp(join(tmpdir(), "wrenn-test-shard-")) : join(kept, name);
  await mkdir(exchangeDirectory, { recursive: true });
  await rm(join(exchangeDirectory, "report.json"), { force: true });
  const env = {
    ...context.env,
    WRENN_TEST_VMM: combination.vmm,
    WRENN_TEST_DISKS: combination.disks,
    WRENN_TEST_PATIENCE: String(patience),
    // Emulated, a long form is for who bounds it and goes on with it another day.
    WRENN_TEST_FULL: patience === 1 || (suite.resumable === true && kept !== undefined) ? "1" : "",
  };
  const deadlineMs = SHARD_DEADLINE_MS * patience;
  const own = { ...context, pattern: suite.pattern };
  delete own.shard;
  try {
    return suite.runs === "testbed"
      ? await runInside({ ...own, env }, exchangeDirectory, deadlineMs)
      : await runOutside({ ...own, env }, exchangeDirectory, deadlineMs);
  } catch (error) {
    context.signal.throwIfAborted();
    const words = error instanceof Error ? error.message : String(error);
    return { counts: { ...NONE, failed: 1 }, failures: [words] };
  } finally {
    if (kept === undefined) await rm(exchangeDirectory, { recursive: true, force: true });
  }
}

async function runInside(context: StepContext, exchangeDirectory: string, deadlineMs: number): Promise<StepResult> {
  const { root } = context;
  const env = {
    ...context.env,
    WRENN_TEST_AGENT: await bundle(join(root, "apps/host-agent/src/main.ts")),
    ...(context.env["WRENN_TEST_JOURNAL"] === undefined ? {} : { WRENN_TEST_JOURNAL: `${EXCHANGE_MOUNT}/journal` }),
  };
  return await runVitestInTestbed(
    { ...context, env },
    {
      project: "vm",
      reporter: "verbose",
      exchangeDirectory,
      memoryMib: MEMORY_MIB,
      deadlineMs,
      before: [process.execPath, await bundle(join(root, "tests/nested/suite-in-testbed.ts"))],
    },
  );
}

async function runOutside(context: StepContext, exchangeDirectory: string, deadlineMs: number): Promise<StepResult> {
  const report = join(exchangeDirectory, "report.json");
  const { ok, how } = await runChild({
    argv: vitestArgv("vm", context, "verbose"),
    cwd: context.root,
    env: { ...context.env, WRENN_TEST_AGENT_PLACE: "testbed", WRENN_TEST_REPORT: report },
    deadlineMs,
    signal: context.signal,
    stream: true,
  });
  return summarise("vm", ok, how, await readReport(report));
}
