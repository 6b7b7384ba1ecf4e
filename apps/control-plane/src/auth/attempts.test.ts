import { describe, expect, it } from "vitest";
import { Attempts, networkOf } from "./attempts.ts";

describe("Attempts", () => {
  it("gives a burst, then one after the other as time goes on, for each key", () => {
    let now = 0;
    const attempts = new Attempts({ burst: 3, windowMs: 30_000, now: () => now });
    const take = (key: string) => {
      try {
        attempts.take(key);
        return "taken";
      } catch (error) {
        return (error as { hint?: string }).hint;
      }
    };
    expect([take("a"), take("a"), take("a"), take("a"), take("b")]).toEqual([
      "taken",
      "taken",
      "taken",
      "Repeat it in 10 s",
      "taken",
    ]);
    now = 10_000;
    expect([take("a"), take("a")]).toEqual(["taken", "Repeat it in 10 s"]);
    attempts.giveBack("a");
    expect([take("a"), take("a")]).toEqual(["taken", "Repeat it in 10 s"]);
    now = 1_000_000;
    expect(Array.from({ length: 4 }, () => take("a")).filter((outcome) => outcome === "taken")).toHaveLength(3);
  });
});

describe("networkOf()", () => {
  it.each([
    ["203.0.113.7", "203.0.113.7"],
    ["::ffff:203.0.113.7", "203.0.113.7"],
    ["2001:db8:1:2:3:4:5:6", "2001:db8:1:2"],
    ["2001:db8::1", "2001:db8:0:0"],
    ["fe80::1%eth0", "fe80:0:0:0"],
    ["::1", "0:0:0:0"],
  ])("of %s is %s", (address, network) => {
    expect(networkOf(address)).toBe(network);
  });
});
