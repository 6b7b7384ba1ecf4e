/** One run of vitest: its command line, and what it reported. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { add, NONE, type Counts } from "./counts.ts";
import type { StepContext, StepResult } from "./step.ts";
import type { VitestReport } from "./vitest-reporter.ts";

export interface VitestOptions {
  /** `verbose` tells of each test when it ends, for files that take long. */
  reporter?: "default" | "verbose";
  /** Parts of the paths of files, instead of the command's own. */
  patterns?: readonly string[];
  /** All files in one process that has the sources loaded: where loading them takes long. */
  isolate?: boolean;
}

/** How a run ended. */
export interface VitestEnd {
  ok: boolean;
  how: string;
  /** Undefined when it did not come that far, or had no files to run. */
  report: VitestReport | undefined;
}

export function vitestArgv(
  project: string,
  { root, shard, pattern }: StepContext,
  { reporter = "default", patterns = pattern === undefined ? [] : [pattern], isolate }: VitestOptions = {},
): [string, ...string[]] {
  return [
    process.execPath,
    join(root, "node_modules/vitest/vitest.mjs"),
    "run",
    `--project=${project}`,
    "--passWithNoTests",
    `--reporter=${reporter}`,
    `--reporter=${join(root, "tools/test/vitest-reporter.ts")}`,
    ...(isolate === false ? ["--no-isolate"] : []),
    ...(shard === undefined ? [] : [`--shard=${shard}`]),
    ...patterns,
  ];
}

/** @param path that `WRENN_TEST_REPORT` named */
export async function readReport(path: string): Promise<VitestReport | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as VitestReport;
  } catch {
    return undefined;
  }
}

export function summarise(project: string, { ok, how, report }: VitestEnd): StepResult {
  const { files = [], errors = [], isWhole = false } = report ?? {};
  const failures = [...files.flatMap((file) => file.failures), ...errors];
  // it failed, and no test tells why
  if (!ok && (!isWhole || failures.length === 0)) failures.push(`vitest ${project}: ${how}`);
  return { counts: { ...files.reduce<Counts>(add, NONE), failed: failures.length }, failures };
}
