/**
 * Keeps rows and host together, both ways: on a schedule, whenever the host agent (re)connects, and for
 * one sandbox when the host says that it changed. Polling is the truth, hints make it quick.
 */
import type { FastifyBaseLogger } from "fastify";
import type { AgentClient } from "../agent/agent-client.ts";
import { observe, type ObservedSandbox } from "../sandboxes/observed.ts";
import type { Resolver } from "../sandboxes/resolver.ts";
import type { SandboxStore } from "../sandboxes/sandbox-store.ts";
import { isTransitional } from "../sandboxes/state.ts";

export interface ReconcilerOptions {
  hostId: string;
  store: SandboxStore;
  agent: AgentClient;
  resolver: Resolver;
  log: FastifyBaseLogger;
  intervalMs: number;
  /** For this long a sandbox without a row is left alone. */
  orphanGraceMs: number;
  /** Told of every round. */
  onRound?: (durationMs: number) => void;
}

export class Reconciler {
  readonly #options: ReconcilerOptions;
  /** When a sandbox without a row was first seen; performance.now(). */
  readonly #orphans = new Map<string, number>();
  /** Hints that wait, with what the host said when the sandbox was destroyed. */
  readonly #hints = new Map<string, string | undefined>();
  #timer: NodeJS.Timeout | undefined;
  #round: Promise<void> | undefined;
  #again = false;
  #hinting: Promise<void> | undefined;
  #stopped = false;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => this.all(), this.#options.intervalMs).unref();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearInterval(this.#timer);
    await Promise.allSettled([this.#round, this.#hinting]);
  }

  /** Compares everything soon; while a round is under way, one more follows it. */
  all(): void {
    this.#again = true;
    if (this.#round !== undefined || this.#stopped) return;
    this.#round = this.#rounds().finally(() => (this.#round = undefined));
  }

  /** The host says that this sandbox changed. Changes on the way to another state are not worth a look. */
  hint(observed: ObservedSandbox): void {
    if (this.#stopped || isTransitional(observed.state)) return;
    this.#hints.set(observed.id, observed.state === "gone" ? observed.reason : undefined);
    this.#hinting ??= this.#followHints().finally(() => (this.#hinting = undefined));
  }

  /** Compares every sandbox of the host with its row, once. */
  async compareAll(): Promise<void> {
    const { agent, hostId, log, resolver, store } = this.#options;
    const rows = await store.ofHost(hostId); // before the host is asked: see decide.ts
    const onHost = new Map<string, ObservedSandbox | undefined>();
    for (const sandbox of await agent.listSandboxes()) onHost.set(sandbox.id, observe(sandbox));
    const activity = new Map<string, string>();
    const stored = new Map<string, number>();
    for (const { row, ageMs } of rows) {
      const known = onHost.has(row.id);
      const observed = onHost.get(row.id);
      onHost.delete(row.id);
      if (known && observed === undefined) continue; // in a state that this release does not know
      if (observed?.lastActiveAt !== undefined && isNewer(observed.lastActiveAt, row.last_active_at))
        activity.set(row.id, observed.lastActiveAt);
      if (observed?.storedBytes !== undefined && observed.storedBytes !== row.stored_bytes)
        stored.set(row.id, observed.storedBytes);
      await resolver
        .act(row, observed, ageMs)
        .catch((error: unknown) => log.warn({ sandbox: row.id, err: error }, "cannot reconcile a sandbox"));
    }
    await store.recordActivity(activity);
    await store.recordStored(stored);
    await this.#resolveOrphans([...onHost.values()].filter((observed) => observed !== undefined));
  }

  async #rounds(): Promise<void> {
    while (this.#again && !this.#stopped) {
      this.#again = false;
      const began = performance.now();
      await this.compareAll().catch((error: unknown) => this.#options.log.warn({ err: error }, "cannot reconcile"));
      this.#options.onRound?.(performance.now() - began);
    }
  }

  async #followHints(): Promise<void> {
    const { log, resolver } = this.#options;
    for (const [id, goneReason] of this.#hints) {
      if (this.#stopped) return;
      this.#hints.delete(id);
      await resolver
        .resolveOne(id, { goneReason })
        .catch((error: unknown) => log.warn({ sandbox: id, err: error }, "cannot follow a change on the host"));
    }
  }

  /** What the host has beside the rows of this round: made meanwhile, gone here, or of nobody. */
  async #resolveOrphans(unclaimed: readonly ObservedSandbox[]): Promise<void> {
    const { agent, log, orphanGraceMs, resolver, store } = this.#options;
    const rows = new Map((await store.existing(unclaimed.map(({ id }) => id))).map((row) => [row.id, row]));
    const seen = new Set<string>();
    for (const observed of unclaimed) {
      const { id } = observed;
      const row = rows.get(id);
      try {
        if (row !== undefined) {
          if (row.state === "gone") await resolver.act(row, observed, Infinity);
          continue;
        }
        seen.add(id);
        const since = this.#orphans.get(id) ?? performance.now();
        this.#orphans.set(id, since);
        if (performance.now() - since < orphanGraceMs) continue;
        log.warn({ sandbox: id, state: observed.state }, "destroying a sandbox without a row");
        await agent.destroySandbox(id);
      } catch (error) {
        log.warn({ sandbox: id, err: error }, "cannot remove what the host should not have");
      }
    }
    for (const id of this.#orphans.keys()) if (!seen.has(id)) this.#orphans.delete(id);
  }
}

/** Times closer than this are the same activity. */
const ACTIVITY_TOLERANCE_MS = 1_000;

function isNewer(a: string, b: string | null): boolean {
  return b === null || Date.parse(a) - Date.parse(b) > ACTIVITY_TOLERANCE_MS;
}
