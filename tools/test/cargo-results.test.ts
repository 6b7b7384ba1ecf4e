import { describe, expect, it } from "vitest";
import { countCargoTests, failedCargoTests, withoutSuccesses } from "./cargo-results.ts";

const OUTPUT = `
running 3 tests
test header::tests::reads ... ok
test header::tests::refuses ... FAILED
test slow ... ignored

failures:

---- header::tests::refuses stdout ----
test result: this line is the test's own, not libtest's

test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s

     Running tests/preload.rs (target/debug/deps/preload-1)

test result: ok. 4 passed; 0 failed; 0 ignored; 0 measured; 2 filtered out; finished in 1.20s
`;

describe("countCargoTests()", () => {
  it("sums the result lines of all test binaries", () => {
    expect(countCargoTests(OUTPUT)).toEqual({ passed: 5, failed: 1, skipped: 1 });
  });

  it("counts nothing where nothing ran", () => {
    expect(countCargoTests("error: could not compile `envd`")).toEqual({ passed: 0, failed: 0, skipped: 0 });
  });
});

describe("failedCargoTests()", () => {
  it("names them", () => {
    expect(failedCargoTests(OUTPUT)).toEqual(["header::tests::refuses"]);
  });
});

describe("withoutSuccesses()", () => {
  it("keeps failures and drops what passed", () => {
    const kept = withoutSuccesses(OUTPUT);
    expect(kept).toContain("header::tests::refuses stdout");
    expect(kept).not.toContain("... ok");
    expect(kept).not.toContain("... ignored");
  });
});
