import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { KeyedMutex } from "./keyed-mutex.ts";

describe("KeyedMutex", () => {
  it("never lets two holders of one key overlap, and keeps their order", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.constantFrom("a", "b"), fc.integer({ min: 0, max: 3 }), fc.boolean()), { maxLength: 30 }),
        async (jobs) => {
          const mutex = new KeyedMutex();
          const holding = new Set<string>();
          const order = new Map<string, number[]>();
          const runs = jobs.map(async ([key, turns, fails], number) => {
            await mutex.run(key, undefined, async () => {
              expect(holding.has(key)).toBe(false);
              holding.add(key);
              for (let turn = 0; turn < turns; turn++) await Promise.resolve();
              order.set(key, [...(order.get(key) ?? []), number]);
              holding.delete(key);
              if (fails) throw new Error("expected");
            });
          });
          const results = await Promise.allSettled(runs);
          expect(results.map(({ status }) => status === "rejected")).toEqual(jobs.map(([, , fails]) => fails));
          for (const numbers of order.values()) expect(numbers).toEqual(numbers.toSorted((a, b) => a - b));
        },
      ),
      { numRuns: 50 },
    );
  });

  it("does not run work whose caller gave up while waiting", async () => {
    const mutex = new KeyedMutex();
    const { promise: hold, resolve: release } = Promise.withResolvers<void>();
    const first = mutex.run("a", undefined, () => hold);
    const controller = new AbortController();
    const second = mutex.run("a", controller.signal, async () => expect.unreachable());
    controller.abort(new Error("gave up"));
    release();
    await first;
    await expect(second).rejects.toThrow("gave up");
  });
});
