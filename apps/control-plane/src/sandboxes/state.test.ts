import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { SANDBOX_STATUSES } from "@wrenn/api-schema";
import { SANDBOX_STATES, sourcesOf, TRANSITIONS } from "./state.ts";

describe("TRANSITIONS", () => {
  it("is the table of docs/reference/database.md, over the statuses of the API", () => {
    const text = readFileSync(new URL("../../../../docs/reference/database.md", import.meta.url), "utf8");
    const [, table = ""] = /### Transitions([^#]*)/.exec(text) ?? [];
    const documented = [...table.matchAll(/^\| `(\w+)` \| (.*?) ?\|$/gm)].map(([, from, to = ""]) => [
      from,
      [...to.matchAll(/`(\w+)`/g)].map((m) => m[1]),
    ]);
    expect(Object.fromEntries(documented)).toEqual(TRANSITIONS);
    expect([...SANDBOX_STATUSES].sort()).toEqual([...SANDBOX_STATES].sort());
  });

  it("lets an end be asked for in every state, and nothing overtake it", () => {
    expect(TRANSITIONS.destroying).toEqual(["gone"]);
    expect(TRANSITIONS.gone).toEqual([]);
    expect(sourcesOf("destroying")).toEqual(
      SANDBOX_STATES.filter((state) => state !== "destroying" && state !== "gone"),
    );
  });
});

describe("sourcesOf()", () => {
  it("is the table read from right to left", () => {
    for (const to of SANDBOX_STATES) {
      for (const from of SANDBOX_STATES) expect(sourcesOf(to).includes(from)).toBe(TRANSITIONS[from].includes(to));
    }
  });
});
