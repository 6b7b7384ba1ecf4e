/** Guests that end by themselves: noticed at once, reported with the reason, given back. */
import { reasonOf } from "../vmm/vm-exit.ts";
import type { Entry } from "./entry.ts";
import { collect, settlePendingLayer } from "./layers.ts";
import type { LiveGuest } from "./lifecycle.ts";
import type { Registry } from "./registry.ts";

/** Reports a guest's death at once, and keeps what can be resumed. */
export function followExit(registry: Registry, entry: Entry, guest: LiveGuest): void {
  void guest.vm.exited
    .then((exit) =>
      registry.locked(entry.record.id, async () => {
        if (entry.guest !== guest) return; // ended by us
        await fail(registry, entry, reasonOf(exit));
      }),
    )
    .catch((error: unknown) => registry.options.log.error({ operation: "failed", id: entry.record.id, err: error }));
}

export async function fail(registry: Registry, entry: Entry, reason: string): Promise<void> {
  const { record, guest } = entry;
  entry.guest = undefined;
  registry.options.log.warn({ operation: "failed", id: record.id, reason });
  // What cannot be given back now stays in the record, for a resume or a destroy.
  await registry.lifecycle
    .tearDown(record, guest)
    .catch((error: unknown) => registry.options.log.error({ operation: "failed", id: record.id, err: error }));
  await settlePendingLayer(registry, entry);
  await collect(registry, entry);
  await registry.settle(entry, "failed", reason);
}
