/**
 * Pauses sandboxes before the state directory's file system is full: a full one breaks the disks of all
 * of them, and the agent's own records. Of those that write the one that writes the most goes first, unless it cannot
 * be written away any more: a pause takes as much disk as the guest has changed memory.
 */
import { stat } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { readProcessUsage } from "../vmm/process-usage.ts";
import { readDiskAvailableMib } from "./admission.ts";
import type { Entry } from "./entry.ts";
import { pause } from "./pause.ts";
import type { Registry } from "./registry.ts";

/** A guest writes a few hundred MiB in this time: less than any sensible reserve. */
const INTERVAL_MS = 250;
const MIB = 1024 * 1024;
/** Growth in one interval from which on a guest is taken to write; what idles is left alone until half the reserve is gone. */
const WRITING_BYTES = MIB;
/** Device state, headers and records beside the memory. */
const PAUSE_OVERHEAD_MIB = 16;
export const LOW_DISK_REASON = "the host was short of disk";

export class DiskGuard {
  readonly #registry: Registry;
  readonly #stopping = new AbortController();
  /** Allocated bytes of each running sandbox's disk at the last look. */
  #sizes = new Map<Entry, number>();

  constructor(registry: Registry) {
    this.#registry = registry;
  }

  start(): void {
    void this.#run().catch(() => undefined); // stopped
  }

  stop(): void {
    this.#stopping.abort();
  }

  async #run(): Promise<void> {
    for (;;) {
      await setTimeout(INTERVAL_MS, undefined, { signal: this.#stopping.signal, ref: false });
      await this.#look().catch((error: unknown) =>
        this.#registry.options.log.error({ operation: "disk-guard", err: error }),
      );
    }
  }

  async #look(): Promise<void> {
    const { stateDirectory, reserves, log } = this.#registry.options;
    const availableMib = await readDiskAvailableMib(stateDirectory);
    if (availableMib >= reserves.diskMib * 2) return this.#sizes.clear(); // far away: nothing to compare yet
    const writers = await this.#byGrowth(availableMib < reserves.diskMib / 2 ? 1 : WRITING_BYTES);
    if (availableMib >= reserves.diskMib) return;
    for (const entry of writers) {
      const usage = await readProcessUsage(entry.guest?.vm.pid ?? 0);
      const neededMib = Math.ceil((usage?.anonymousBytes ?? 0) / MIB) + PAUSE_OVERHEAD_MIB;
      if (neededMib > availableMib) continue;
      const { id, incarnation } = entry.record;
      log.warn({ operation: "disk-guard", id, availableMib, neededMib });
      await pause(this.#registry, id, incarnation);
      await this.#registry.locked(id, async () => {
        if (entry.record.state === "paused") await this.#registry.enter(entry, "paused", LOW_DISK_REASON);
      });
      return;
    }
    if (writers.length > 0) log.error({ operation: "disk-guard", availableMib, nobodyFits: true });
  }

  /** The running sandboxes whose disks have grown by so many bytes since the last look, those first that grew most. */
  async #byGrowth(leastBytes: number): Promise<Entry[]> {
    const running = this.#registry.entries().filter(({ record }) => record.state === "running");
    const sizes = new Map<Entry, number>();
    for (const entry of running) {
      const blocks = await stat(entry.record.disk?.path ?? "").then(
        (stats) => stats.blocks,
        () => 0,
      );
      sizes.set(entry, blocks * 512);
    }
    const growth = (entry: Entry): number => {
      const size = sizes.get(entry) ?? 0;
      return size - (this.#sizes.get(entry) ?? size);
    };
    const sorted = running.filter((entry) => growth(entry) >= leastBytes).toSorted((a, b) => growth(b) - growth(a));
    this.#sizes = sizes;
    return sorted;
  }
}
