import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { TURN_MS, Turns } from "./turns.ts";

const never = new AbortController().signal;

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** Takes a turn and notes that it came. */
function taker(turns: Turns, order: string[]) {
  return async (name: string, signal = never): Promise<Disposable> => {
    const turn = await turns.take(signal);
    order.push(name);
    return turn;
  };
}
const settled = () => vi.advanceTimersByTimeAsync(0);

it("lets so many begin, and the others in their order as one after another ends", async () => {
  const order: string[] = [];
  const take = taker(new Turns(2), order);
  const [first, , third] = ["a", "b", "c", "d", "e"].map((name) => take(name));
  await settled();
  expect(order).toEqual(["a", "b"]);
  (await first)?.[Symbol.dispose]();
  await settled();
  expect(order).toEqual(["a", "b", "c"]);
  (await third)?.[Symbol.dispose]();
  await settled();
  expect(order).toEqual(["a", "b", "c", "d"]);
});

it("lets the next begin when one takes too long, and then no more than that", async () => {
  const order: string[] = [];
  const take = taker(new Turns(1), order);
  const long = take("a");
  void take("b");
  void take("c");
  await vi.advanceTimersByTimeAsync(TURN_MS - 1);
  expect(order).toEqual(["a"]);
  await vi.advanceTimersByTimeAsync(1);
  expect(order).toEqual(["a", "b"]);
  (await long)[Symbol.dispose]();
  await settled();
  expect(order).toEqual(["a", "b"]);
});

it("passes over who gave up while waiting, and tells him at once", async () => {
  const order: string[] = [];
  const take = taker(new Turns(1), order);
  const first = await take("a");
  const impatient = new AbortController();
  const refused = take("b", impatient.signal).catch(String);
  void take("c");
  impatient.abort(new Error("enough"));
  expect(await refused).toBe("Error: enough");
  first[Symbol.dispose]();
  await settled();
  expect(order).toEqual(["a", "c"]);
  await expect(take("d", impatient.signal)).rejects.toThrow("enough");
});
