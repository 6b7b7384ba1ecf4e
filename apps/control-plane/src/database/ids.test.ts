import { describe, expect, it } from "vitest";
import { newId } from "./ids.ts";

describe("newId()", () => {
  it("has its prefix and 20 characters that a host name may hold", () => {
    expect(newId("sb")).toMatch(/^sb[0-9a-z]{20}$/);
    expect(newId("team_")).toMatch(/^team_[0-9a-z]{20}$/);
  });

  it("uses every character about equally often", () => {
    const counts = new Map<string, number>();
    for (let i = 0; i < 3_600; i++) for (const c of newId("sb").slice(2)) counts.set(c, (counts.get(c) ?? 0) + 1);
    expect(counts.size).toBe(36);
    // 2,000 expected; 5 standard deviations are 220
    for (const count of counts.values()) expect(Math.abs(count - 2_000)).toBeLessThan(300);
  });
});
