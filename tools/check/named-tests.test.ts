/** Every test that docs/reference/known-weaknesses.md names is there, and every numbered weakness of a host has one. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
/** The weaknesses of a host by number. */
const OF_A_HOST = [...numbers(16, 34), ...numbers(38, 41), 48];
const ROW = /^\| ([^|]+) \| `([^`]+)` \| ([^|]+) \|$/gm;

describe("the tests named in docs/reference/known-weaknesses.md", () => {
  const rows = [...readFileSync(join(ROOT, "docs/reference/known-weaknesses.md"), "utf8").matchAll(ROW)];

  it("are a table that can be read", () => {
    expect(rows.length).toBeGreaterThan(25);
  });

  it("leave no numbered weakness without one", () => {
    const numbered = new Set(rows.flatMap(([, weakness = ""]) => /^(\d+)\./.exec(weakness)?.[1] ?? []).map(Number));
    expect([...numbered]).toEqual(OF_A_HOST);
  });

  it.each(rows.map(([, , file = "", test = ""]) => ({ file, test: test.trim() })))("$file: $test", ({ file, test }) => {
    const source = readFileSync(join(ROOT, file), "utf8");
    const found = file.endsWith(".rs") ? source.includes(`fn ${test}()`) : source.includes(`"${test}"`);
    expect(found).toBe(true);
  });
});

function numbers(first: number, last: number): number[] {
  return Array.from({ length: last - first + 1 }, (_, n) => first + n);
}
