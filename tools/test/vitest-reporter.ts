/**
 * Writes what a vitest run found to the file that WRENN_TEST_REPORT names, for the test command to sum
 * up, after each file: a run that is ended keeps what it did. A file that could not even be loaded counts as one failed test.
 */
import { writeFileSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";
import type { Counts } from "./counts.ts";

/** What one file had. */
export interface FileReport extends Counts {
  path: string;
  seconds: number;
  /** `path > suite > test` of each that failed. */
  failures: string[];
}

/** What the file holds. */
export interface VitestReport {
  files: FileReport[];
  /** Errors of no file. */
  errors: string[];
  /** The run came to its end. */
  isWhole: boolean;
}

export default class CountReporter implements Reporter {
  readonly #files: FileReport[] = [];

  onTestModuleEnd(module: TestModule): void {
    this.#files.push(reportOf(module));
    this.#write({ files: this.#files, errors: [], isWhole: false });
  }

  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly { message?: string }[]): void {
    const errors = unhandledErrors.map(({ message = "unknown" }) => `unhandled error: ${message}`);
    this.#write({ files: modules.map(reportOf), errors, isWhole: true });
  }

  #write(report: VitestReport): void {
    const path = process.env["WRENN_TEST_REPORT"];
    if (path !== undefined) writeFileSync(path, JSON.stringify(report));
  }
}

function reportOf(module: TestModule): FileReport {
  const path = module.relativeModuleId;
  const report: FileReport = { path, passed: 0, failed: 0, skipped: 0, seconds: 0, failures: [] };
  for (const test of module.children.allTests()) {
    const { state } = test.result();
    if (state === "passed") report.passed += 1;
    else if (state === "failed") report.failures.push(`${path} > ${test.fullName}`);
    else report.skipped += 1;
  }
  // a hook or the import failed: no single test tells
  if (module.state() === "failed" && report.failures.length === 0) report.failures.push(path);
  report.failed = report.failures.length;
  report.seconds = module.diagnostic().duration / 1_000;
  return report;
}
