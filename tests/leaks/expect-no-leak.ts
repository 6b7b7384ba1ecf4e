/** The leak gate: after a test, the host has nothing that it did not have before. */
import { setTimeout as delay } from "node:timers/promises";
import { patient } from "../config.ts";
import { takeInventory, type Inventory, type Kind } from "./inventory.ts";

/** The kernel takes namespaces, links and processes down behind the call that asks for it; it gets this long. */
const GRACE_MS = patient(2_000);

/** One thing too many. */
export interface Leak {
  kind: Kind;
  item: string;
}

/** Thrown by the gate; the message lists every leak. */
export class LeakError extends Error {
  readonly leaks: readonly Leak[];

  constructor(leaks: readonly Leak[]) {
    super([`${leaks.length} leaked:`, ...leaks.map(({ kind, item }) => `  ${kind}: ${item}`)].join("\n"));
    this.name = "LeakError";
    this.leaks = leaks;
  }
}

/**
 * Compares the host with `before`, looking at the same places.
 * @throws LeakError when something is there that was not, still after two seconds
 */
export async function expectNoLeak(before: Inventory, graceMs: number = GRACE_MS): Promise<void> {
  const deadline = performance.now() + graceMs;
  for (let pauseMs = 10; ; pauseMs *= 2) {
    const leaks = difference(before, await takeInventory(before.options));
    if (leaks.length === 0) return;
    if (performance.now() + pauseMs > deadline) throw new LeakError(leaks);
    await delay(pauseMs);
  }
}

function difference(before: Inventory, after: Inventory): Leak[] {
  return [...after.items].flatMap(([kind, items]) =>
    [...items.difference(before.items.get(kind) ?? new Set())].map((item) => ({ kind, item })),
  );
}
