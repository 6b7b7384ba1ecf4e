/** Reads what `cargo test` printed. */
import { add, NONE, type Counts } from "./counts.ts";

const RESULT =
  /^test result: (?:ok|FAILED)\. (\d+) passed; (\d+) failed; (\d+) ignored; \d+ measured; \d+ filtered out/gm;
const FAILURE = /^test (\S.*?) \.\.\. FAILED$/gm;

/** The sum of all result lines; libtest prints one per test binary. */
export function countCargoTests(output: string): Counts {
  return [...output.matchAll(RESULT)].reduce<Counts>(
    (sum, [, passed, failed, ignored]) =>
      add(sum, { passed: Number(passed), failed: Number(failed), skipped: Number(ignored) }),
    NONE,
  );
}

/** The names of the tests that failed. */
export function failedCargoTests(output: string): string[] {
  return [...output.matchAll(FAILURE)].map(([, name = ""]) => name);
}

/** What a reader of a failed run needs: no line for each test that passed. */
export function withoutSuccesses(output: string): string {
  const lines = output.split("\n").filter((line) => !/^test .* \.\.\. (?:ok|ignored.*)$/.test(line));
  return lines.join("\n").replace(/\n{3,}/g, "\n\n");
}
