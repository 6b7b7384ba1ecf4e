/** The one test command: runs every step, goes on after a failure, and sums up. */
import { performance } from "node:perf_hooks";
import { fileURLToPath } from "node:url";
import { WrennError } from "@wrenn/errors";
import { CHECK_STEPS } from "./check-steps.ts";
import { combinationsStep } from "./combinations-step.ts";
import { add, formatCounts, NONE, type Counts } from "./counts.ts";
import { chooseSeed, testEnvironment } from "./environment.ts";
import { watchForLeaks } from "./leak-step.ts";
import { PARTS, type Part, type Step, type StepContext, type StepResult } from "./step.ts";
import { SUITE_STEPS } from "./suite-steps.ts";

export interface TestOptions {
  /** More runs of property tests, and the long tests. */
  full?: boolean;
  /** Which parts; all unless told. */
  only?: readonly string[];
  /** `i/n`: the i-th of n parts of the TypeScript tests. */
  shard?: string;
  /** Only TypeScript tests whose path contains this. */
  pattern?: string;
  signal: AbortSignal;
}

interface Outcome extends StepResult {
  name: string;
  seconds: number;
}

/** @returns the exit code: 1 when something failed or no test ran */
export async function runTests(options: TestOptions): Promise<number> {
  const parts = chooseParts(options);
  const root = fileURLToPath(new URL("../..", import.meta.url)).replace(/\/$/, "");
  const full = options.full ?? false;
  const seed = chooseSeed();
  const context: StepContext = {
    root,
    env: testEnvironment({ root, seed, full }),
    signal: options.signal,
    full,
    ...(options.shard === undefined ? {} : { shard: options.shard }),
    ...(options.pattern === undefined ? {} : { pattern: options.pattern }),
  };
  console.log(`fast-check seed ${seed}; the same again: WRENN_TEST_SEED=${seed}`);
  const steps = [...CHECK_STEPS, ...SUITE_STEPS, combinationsStep].filter(({ part }) => parts.has(part));
  const leaks = parts.has("host") || parts.has("vm") ? await watchForLeaks() : undefined;
  const outcomes: Outcome[] = [];
  for (const step of leaks === undefined ? steps : [...steps, leaks]) {
    if (options.signal.aborted) break;
    outcomes.push(await runStep(step, context));
  }
  return summarise(outcomes, seed, options.signal.aborted);
}

function chooseParts({ full, only, pattern, shard }: TestOptions): ReadonlySet<Part> {
  const unknown = only?.find((part) => !(PARTS as readonly string[]).includes(part));
  if (unknown !== undefined) {
    throw new WrennError("invalid_request", `Cannot test ${JSON.stringify(unknown)}: there is no such part`, {
      hint: `There are: ${PARTS.join(", ")}`,
    });
  }
  if (shard !== undefined && !/^[1-9]\d*\/[1-9]\d*$/.test(shard)) {
    throw new WrennError("invalid_request", `Cannot run shard ${JSON.stringify(shard)}`, {
      hint: "Write 1/3 for the first of three",
    });
  }
  if (only !== undefined) return new Set(only as readonly Part[]);
  // a pattern names TypeScript tests: the checks have nothing to do with it
  if (pattern !== undefined) return new Set(["unit", "host", "vm", "nested"]);
  return new Set(full === true ? PARTS : PARTS.filter((part) => part !== "combinations"));
}

async function runStep(step: Step, context: StepContext): Promise<Outcome> {
  const startedAt = performance.now();
  console.log(`\n== ${step.name}`);
  const result = await runUnlessSkipped(step, context);
  const seconds = (performance.now() - startedAt) / 1_000;
  if (result.failures.length > 0 && result.output !== undefined) console.log(result.output.trimEnd());
  for (const failure of result.failures) console.log(`FAILED ${failure}`);
  console.log(`${step.name}: ${formatCounts(result.counts)} (${seconds.toFixed(1)} s)`);
  return { ...result, name: step.name, seconds };
}

async function runUnlessSkipped(step: Step, context: StepContext): Promise<StepResult> {
  if (step.needsRoot === true && process.getuid?.() !== 0) {
    console.log(`SKIPPED ${step.name}: needs root; run ./wrenn test as root`);
    return { counts: { ...NONE, skipped: 1 }, failures: [] };
  }
  try {
    return await step.run(context);
  } catch (error) {
    const words = error instanceof Error ? (error.stack ?? error.message) : String(error);
    return { counts: { ...NONE, failed: 1 }, failures: [words] };
  }
}

function summarise(outcomes: readonly Outcome[], seed: number, interrupted: boolean): number {
  const counts = outcomes.reduce<Counts>((sum, outcome) => add(sum, outcome.counts), NONE);
  const width = Math.max(0, ...outcomes.map(({ name }) => name.length));
  console.log("\n== summary");
  for (const { name, seconds, counts: own } of outcomes) {
    console.log(
      `${own.failed > 0 ? "FAILED" : "ok    "} ${name.padEnd(width)} ${seconds.toFixed(1).padStart(7)} s  ${formatCounts(own)}`,
    );
  }
  for (const { name, failures } of outcomes)
    for (const failure of failures) console.log(`FAILED ${name}: ${failure.split("\n")[0]}`);
  console.log(`fast-check seed ${seed}`);
  if (interrupted) console.log("interrupted: not everything has run");
  console.log(formatCounts(counts));
  return counts.failed > 0 || counts.passed === 0 || interrupted ? 1 : 0;
}
