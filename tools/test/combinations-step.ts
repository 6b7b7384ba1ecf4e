/**
 * The suites with VMs on every pair of VMM and disks that there is, in the testbed. A run can be ended and
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
import type { Step, StepContext } from "./step.ts";
import { runVitestInTestbed, skippedWithoutTestbed } from "./vitest-in-testbed.ts";
import type { VitestReport } from "./vitest-reporter.ts";
import { readReport, summarise, vitestArgv, type VitestEnd } from "./vitest-run.ts";

/** How many times as long things may take on an emulated processor. */
const EMULATED_PATIENCE = 10;
const SUITE_DEADLINE_MS = 10 * 60_000;
const MEMORY_MIB = 4_096;

/** Suites that are run together, so that an emulated machine starts and loads the sources once for them. */
interface Boot {
  combination: Combination;
  suites: readonly Suite[];
  isLong: boolean;
}

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
    const isEmulated = (await chooseNestedAcceleration()) === "tcg";
    const left = chosen(context).filter(([suite, pair]) => !journal.has(nameOf(suite, pair)));
    // Emulated, a long form is for who bounds it and goes on with it another day.
    const isLong = ({ resumable }: Suite): boolean =>
      !isEmulated || (resumable === true && context.env["WRENN_TEST_JOURNAL"] !== undefined);
    const shards: Shard[] = [...journal.entries];
    const failures: string[] = [];
    for (const boot of boots(left, isLong)) {
      if (context.signal.aborted || journal.timeIsOver) break;
      console.log(`\n-- ${boot.combination.name}: ${boot.suites.map(({ name }) => name).join(", ")}`);
      const end = await run(context, boot, isEmulated);
      const made = shardsOf(boot, end.report);
      shards.push(...made);
      for (const shard of made.filter(({ failed }) => failed === 0)) journal.add(shard);
      failures.push(...summarise(boot.combination.name, end).failures);
    }
    const names = (all: readonly { name: string }[]): string[] => all.map(({ name }) => name);
    console.log(`\n${combinationTable(shards, names(ALL), names(SUITES))}`);
    const counts = shards.reduce<Counts>(add, NONE);
    return { counts: { ...counts, failed: failures.length }, failures };
  },
};

function nameOf(suite: Suite, combination: Combination): string {
  return `${suite.name}, ${combination.name}`;
}

/** Every suite on every pair that can be here, of those that the pattern names (several with commas); of a sharded run its part. */
function chosen({ pattern = "", shard = "1/1", env }: StepContext): [Suite, Combination][] {
  const [index, count] = shard.split("/").map(Number) as [number, number];
  const isWanted = ({ vmm, disks, lacks }: Combination): boolean =>
    lacks === undefined && (env["WRENN_TEST_VMM"] ?? vmm) === vmm && (env["WRENN_TEST_DISKS"] ?? disks) === disks;
  const pairs = ALL.filter(isWanted);
  return SUITES.filter((suite) => pattern.split(",").some((part) => suite.pattern.includes(part)))
    .flatMap((suite) => pairs.map((pair): [Suite, Combination] => [suite, pair]))
    .filter((_, at) => at % count === index - 1);
}

/** What runs in the testbed as a whole shares a boot with its like; of what runs outside each file boots a testbed. */
function boots(left: readonly [Suite, Combination][], isLong: (suite: Suite) => boolean): Boot[] {
  const inside = Map.groupBy(
    left.filter(([suite]) => suite.runs === "testbed"),
    ([suite, combination]) => `${combination.name} ${isLong(suite)}`,
  );
  const outside = left.filter(([suite]) => suite.runs === "outside").map((one) => [one]);
  return [...inside.values(), ...outside].map((together) => {
    const [suite, combination] = together[0] as [Suite, Combination];
    return { combination, suites: together.map(([one]) => one), isLong: isLong(suite) };
  });
}

async function run(context: StepContext, boot: Boot, isEmulated: boolean): Promise<VitestEnd> {
  const { combination, suites, isLong } = boot;
  const patience = isEmulated ? EMULATED_PATIENCE : 1;
  const kept = context.env["WRENN_TEST_JOURNAL"];
  // A comma or a space would end a word of QEMU's.
  const name = combination.name.replaceAll(" ", "-");
  const exchangeDirectory = kept === undefined ? await mkdtemp(join(tmpdir(), "wrenn-test-shard-")) : join(kept, name);
  await mkdir(exchangeDirectory, { recursive: true });
  await rm(join(exchangeDirectory, "report.json"), { force: true });
  const own: StepContext = {
    ...context,
    env: {
      ...context.env,
      WRENN_TEST_VMM: combination.vmm,
      WRENN_TEST_DISKS: combination.disks,
      WRENN_TEST_PATIENCE: String(patience),
      WRENN_TEST_FULL: isLong ? "1" : "",
    },
  };
  delete own.shard;
  const deadlineMs = SUITE_DEADLINE_MS * patience * suites.length;
  const patterns = suites.map(({ pattern }) => pattern);
  try {
    return suites[0]?.runs === "testbed"
      ? await runInside(own, patterns, exchangeDirectory, deadlineMs)
      : await runOutside(own, patterns, exchangeDirectory, deadlineMs);
  } catch (error) {
    context.signal.throwIfAborted();
    const how = error instanceof Error ? error.message : String(error);
    return { ok: false, how, report: await readReport(join(exchangeDirectory, "report.json")) };
  } finally {
    if (kept === undefined) await rm(exchangeDirectory, { recursive: true, force: true });
  }
}

async function runInside(
  context: StepContext,
  patterns: readonly string[],
  exchangeDirectory: string,
  deadlineMs: number,
): Promise<VitestEnd> {
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
      patterns,
      isolate: false,
      exchangeDirectory,
      memoryMib: MEMORY_MIB,
      deadlineMs,
      before: [process.execPath, await bundle(join(root, "tests/nested/suite-in-testbed.ts"))],
    },
  );
}

async function runOutside(
  context: StepContext,
  patterns: readonly string[],
  exchangeDirectory: string,
  deadlineMs: number,
): Promise<VitestEnd> {
  const report = join(exchangeDirectory, "report.json");
  const { ok, how } = await runChild({
    argv: vitestArgv("vm", context, { reporter: "verbose", patterns }),
    cwd: context.root,
    env: { ...context.env, WRENN_TEST_AGENT_PLACE: "testbed", WRENN_TEST_REPORT: report },
    deadlineMs,
    signal: context.signal,
    stream: true,
  });
  return { ok, how, report: await readReport(report) };
}

/** What each suite had of a run; none of those to which it did not come. */
function shardsOf({ combination, suites }: Boot, report: VitestReport | undefined): Shard[] {
  return suites.flatMap((suite) => {
    const files = (report?.files ?? []).filter(({ path }) => path.includes(suite.pattern));
    if (files.length === 0) return [];
    const counts = files.reduce<Counts>(add, NONE);
    const seconds = files.reduce((sum, file) => sum + file.seconds, 0);
    return [{ what: nameOf(suite, combination), combination: combination.name, suite: suite.name, ...counts, seconds }];
  });
}
