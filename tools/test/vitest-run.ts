/** One run of vitest: its command line, and what it reported. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { StepContext, StepResult } from "./step.ts";
import type { VitestReport } from "./vitest-reporter.ts";

/** @param reporter `verbose` tells of each test when it ends, for files that take long */
export function vitestArgv(
  project: string,
  { root, shard, pattern }: StepContext,
  reporter: "default" | "verbose" = "default",
): [string, ...string[]] {
  return [
    process.execPath,
    join(root, "node_modules/vitest/vitest.mjs"),
    "run",
    `--project=${project}`,
    "--passWithNoTests",
    `--reporter=${reporter}`,
    `--reporter=${join(root, "tools/test/vitest-reporter.ts")}`,
    ...(shard === undefined ? [] : [`--shard=${shard}`]),
    ...(pattern === undefined ? [] : [pattern]),
  ];
}

/** @param path that `WRENN_TEST_REPORT` named */
export async function readReport(path: string): Promise<VitestReport | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as VitestReport;
  } catch {
    return undefined; // it did not come that far, or had no files to run
  }
}

export function summarise(project: string, ok: boolean, how: string, report: VitestReport | undefined): StepResult {
  const { passed = 0, failed = 0, skipped = 0, failures = [] } = report ?? {};
  if (ok || failed > 0) return { counts: { passed, failed, skipped }, failures };
  return { counts: { passed, failed: failed + 1, skipped }, failures: [...failures, `vitest ${project}: ${how}`] };
}
