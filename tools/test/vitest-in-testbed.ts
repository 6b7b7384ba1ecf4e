/** Vitest in the testbed (docs/reference/testbed.md). */
import { access } from "node:fs/promises";
import { join } from "node:path";
import { Readable } from "node:stream";
import { progressFor } from "@wrenn/guest";
import { ensureTestbed, EXCHANGE_MOUNT, runInTestbed } from "@wrenn/testbed";
import { chooseNestedAcceleration } from "@wrenn/virtualization";
import { NONE } from "./counts.ts";
import type { StepContext, StepResult } from "./step.ts";
import { readReport, vitestArgv, type VitestEnd, type VitestOptions } from "./vitest-run.ts";

export interface VitestInTestbed extends VitestOptions {
  /** Vitest's project. */
  project: string;
  /** Directory that is at `TESTBED_EXCHANGE` inside. */
  exchangeDirectory: string;
  memoryMib: number;
  deadlineMs: number;
  /** What runs vitest inside: a program and its arguments before vitest's own; none unless told. */
  before?: readonly string[];
}

export async function runVitestInTestbed(context: StepContext, options: VitestInTestbed): Promise<VitestEnd> {
  const { project, exchangeDirectory, memoryMib, deadlineMs, before = [] } = options;
  const signal = AbortSignal.any([context.signal, AbortSignal.timeout(deadlineMs)]);
  const end = await runInTestbed({
    qemu: "qemu-system-x86_64",
    accelerator: await chooseNestedAcceleration(),
    image: await ensureTestbed({
      stateDirectory: context.env["WRENN_TEST_GUEST_DIR"] ?? "/var/lib/wrenn-test",
      progress: progressFor(process.stderr),
      signal,
    }),
    argv: [...before, ...vitestArgv(project, context, options)] as [string, ...string[]],
    env: {
      ...context.env,
      WRENN_TEST_REPORT: `${EXCHANGE_MOUNT}/report.json`,
      NODE_COMPILE_CACHE: "/tmp/compile-cache",
    },
    directory: context.root,
    memoryMib,
    fileSystem: "xfs",
    exchangeDirectory,
    input: Readable.from([]),
    output: process.stdout,
    error: process.stderr,
    signal,
  });
  const how = end.kind === "exit" ? `exit status ${end.code}` : "power cut";
  const ok = end.kind === "exit" && end.code === 0;
  return { ok, how, report: await readReport(join(exchangeDirectory, "report.json")) };
}

/** The result of a step that needs the testbed where it cannot be, told in one line; undefined where it can. */
export async function skippedWithoutTestbed(step: string, { env }: StepContext): Promise<StepResult | undefined> {
  const lacking = await whatTheTestbedLacks(env["PATH"] ?? "");
  if (lacking === undefined) return undefined;
  console.log(`SKIPPED ${step}: the testbed needs ${lacking}, which is not installed`);
  return { counts: { ...NONE, skipped: 1 }, failures: [] };
}

/** The first program that is missing. */
async function whatTheTestbedLacks(path: string): Promise<string | undefined> {
  for (const program of ["qemu-system-x86_64", "mkfs.xfs", "dmsetup"]) {
    const places = [...path.split(":"), "/usr/sbin", "/sbin"].map((directory) => join(directory, program));
    const found = await Promise.all(
      places.map((place) =>
        access(place).then(
          () => true,
          () => false,
        ),
      ),
    );
    if (!found.includes(true)) return program;
  }
  return undefined;
}
