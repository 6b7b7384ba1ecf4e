/** Every test that docs/reference/known-weaknesses.md names is there. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";

const ROOT = join(import.meta.dirname, "../..");
const ROW = /^\| [^|]+ \| `([^`]+)` \| ([^|]+) \|$/gm;

describe("the tests named in docs/reference/known-weaknesses.md", () => {
  const rows = [...readFileSync(join(ROOT, "docs/reference/known-weaknesses.md"), "utf8").matchAll(ROW)];

  it("are a table that can be read", () => {
    expect(rows.length).toBeGreaterThan(25);
  });

  it.each(rows.map(([, file = "", test = ""]) => ({ file, test: test.trim() })))("$file: $test", ({ file, test }) => {
    const source = readFileSync(join(ROOT, file), "utf8");
    const found = file.endsWith(".rs") ? source.includes(`fn ${test}()`) : source.includes(`"${test}"`);
    expect(found).toBe(true);
  });
});
