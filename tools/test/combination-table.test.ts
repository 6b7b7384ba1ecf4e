import { expect, it } from "vitest";
import { combinationTable } from "./combination-table.ts";

it("has a row for a suite and a column for a pair; what ran last counts, and what did not is said", () => {
  const shard = { what: "", combination: "A on b", suite: "one", passed: 1, failed: 2, skipped: 0, seconds: 9.6 };
  const again = { ...shard, passed: 3, failed: 0 };
  expect(combinationTable([shard, again], ["A on b", "C on d"], ["one", "two"]).split("\n")).toEqual([
    "|  | A on b | C on d |",
    "| --- | --- | --- |",
    "| one | 3 passed, 0 failed, 0 skipped, 10 s | not run |",
    "| two | not run | not run |",
  ]);
});
