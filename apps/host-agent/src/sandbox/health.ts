/**
 * Does a running guest answer? Its agent is asked every few seconds. One that does not answer while its
 * vCPUs are at work is busy; one whose vCPUs rest, or whose kernel takes no connection any more however
 * busy it looks (a panic spins), does not respond. The property is told, never acted upon: what to do
 * with such a sandbox is its owner's decision.
 */
import { setTimeout } from "node:timers/promises";
import { probeGuest } from "../envd/probe.ts";
import { readCpuDemandSeconds } from "../vmm/process-usage.ts";
import type { Entry, Health } from "./entry.ts";
import { viewOf } from "./entry.ts";
import type { LiveGuest } from "./lifecycle.ts";
import type { Registry } from "./registry.ts";

const PROBE_DEADLINE_MS = 3_000;
/** A kernel that is only busy takes a connection within this. */
const SILENCE_MS = 15_000;
/** From this share of one vCPU on the guest is at work. */
const BUSY_SHARE = 0.5;

export class HealthMonitor {
  readonly #registry: Registry;
  readonly #intervalMs: number;
  readonly #stopping = new AbortController();
  readonly #asking = new WeakSet<Entry>();

  constructor(registry: Registry, intervalMs: number) {
    this.#registry = registry;
    this.#intervalMs = intervalMs;
  }

  start(): void {
    void this.#run().catch(() => undefined); // stopped
  }

  stop(): void {
    this.#stopping.abort();
  }

  async #run(): Promise<void> {
    for (;;) {
      for (const entry of this.#registry.entries()) {
        if (entry.record.state !== "running" || entry.guest === undefined || this.#asking.has(entry)) continue;
        this.#asking.add(entry);
        void this.#follow(entry, entry.guest)
          .catch((error: unknown) => this.#registry.options.log.error({ operation: "health", err: error }))
          .finally(() => this.#asking.delete(entry));
      }
      await setTimeout(this.#intervalMs, undefined, { signal: this.#stopping.signal, ref: false });
    }
  }

  /** Asks one guest until it answers, or is no longer served. */
  async #follow(entry: Entry, guest: LiveGuest): Promise<void> {
    const startedAt = performance.now();
    let atWork = await readCpuDemandSeconds(guest.vm.pid);
    for (;;) {
      const askedAt = performance.now();
      const result = await probeGuest(guest.slot.hostAddress, PROBE_DEADLINE_MS);
      if (entry.guest !== guest || entry.record.state !== "running" || this.#stopping.signal.aborted) return;
      if (result === "answers") return this.#tell(entry, "responsive");
      if (performance.now() - askedAt < 1_000)
        await setTimeout(1_000, undefined, { signal: this.#stopping.signal, ref: false }); // it refused at once
      const now = await readCpuDemandSeconds(guest.vm.pid);
      const share = ((now - atWork) * 1_000) / (performance.now() - askedAt);
      atWork = now;
      const dead = result === "silent" && performance.now() - startedAt >= SILENCE_MS;
      this.#tell(entry, share >= BUSY_SHARE && !dead ? "busy" : "unresponsive");
    }
  }

  #tell(entry: Entry, health: Health): void {
    if (entry.health === health) return;
    entry.health = health;
    this.#registry.options.log.warn({ operation: "health", id: entry.record.id, health });
    this.#registry.events.emit("changed", viewOf(entry), false);
  }
}
