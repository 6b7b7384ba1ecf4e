/**
 * Writes what a vitest run found to the file that WRENN_TEST_REPORT names, for the test command to sum
 * up. A file that could not even be loaded counts as one failed test.
 */
import { writeFileSync } from "node:fs";
import type { Reporter, TestModule } from "vitest/node";

/** What the file holds. */
export interface VitestReport {
  passed: number;
  failed: number;
  skipped: number;
  /** `path > suite > test` of each that failed. */
  failures: string[];
}

export default class CountReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[], unhandledErrors: readonly { message?: string }[]): void {
    const path = process.env["WRENN_TEST_REPORT"];
    if (path === undefined) return;
    const report: VitestReport = { passed: 0, failed: 0, skipped: 0, failures: [] };
    for (const module of modules) count(module, report);
    for (const { message = "unknown" } of unhandledErrors) fail(report, `unhandled error: ${message}`);
    writeFileSync(path, JSON.stringify(report));
  }
}

function count(module: TestModule, report: VitestReport): void {
  const failedBefore = report.failed;
  for (const test of module.children.allTests()) {
    const { state } = test.result();
    if (state === "passed") report.passed += 1;
    else if (state === "failed") fail(report, `${module.relativeModuleId} > ${test.fullName}`);
    else report.skipped += 1;
  }
  // a hook or the import failed: no single test tells
  if (module.state() === "failed" && report.failed === failedBefore) fail(report, module.relativeModuleId);
}

function fail(report: VitestReport, name: string): void {
  report.failed += 1;
  report.failures.push(name);
}
