import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { reachable } from "./reachable.ts";

const NAMES = 12;

/** What happens on a host: things are made that stand on older ones, and let go of, in any order. */
const step = fc.oneof(
  fc.record({ do: fc.constant("make" as const), on: fc.array(fc.nat(NAMES - 1), { maxLength: 3 }) }),
  fc.record({ do: fc.constant("let-go" as const), which: fc.nat(NAMES - 1) }),
);

/** The naive model: a thing may be read by everyone who was made on it, directly or not, and is still there. */
function standsOn(name: string, other: string, on: ReadonlyMap<string, ReadonlySet<string>>): boolean {
  if (name === other) return true;
  return [...(on.get(name) ?? [])].some((below) => standsOn(below, other, on));
}

describe("reachable", () => {
  it("keeps exactly what somebody in use stands on, whatever was made and let go of before", () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const on = new Map<string, ReadonlySet<string>>();
        const inUse = new Set<string>();
        for (const [at, what] of steps.entries()) {
          const present = [...on.keys()];
          if (what.do === "make") {
            const bases = what.on.flatMap((index) => present[index] ?? []);
            on.set(`thing ${at}`, new Set(bases));
            inUse.add(`thing ${at}`);
          } else {
            inUse.delete(present[what.which] ?? "");
          }
          const kept = reachable(on, inUse);
          for (const name of on.keys()) {
            const needed = [...inUse].some((user) => standsOn(user, name, on));
            expect({ name, kept: kept.has(name) }).toEqual({ name, kept: needed });
          }
          // the sweep: what is gone stays gone, and nobody misses it
          for (const name of on.keys()) if (!kept.has(name)) on.delete(name);
          for (const user of inUse) for (const below of on.get(user) ?? []) expect(on.has(below)).toBe(true);
        }
      }),
    );
  });

  it("ends on a circle", () => {
    const circle = new Map([
      ["a", new Set(["b"])],
      ["b", new Set(["a"])],
    ]);
    expect([...reachable(circle, ["a"])].sort()).toEqual(["a", "b"]);
    expect(reachable(circle, []).size).toBe(0);
  });
});
