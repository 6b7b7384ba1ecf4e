/**
 * LISTEN on one connection of its own: who waits for changes of a team is woken by the transaction that
 * made them, on whichever control plane. A hint only: a lost connection loses hints, so everybody who
 * waits also looks now and then.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { FastifyBaseLogger } from "fastify";
import pg from "pg";
import type { ApiKeyCache } from "../auth/api-key-cache.ts";

/** Channel that migration 0004 notifies; the payload is the team's id. */
const EVENTS = "wrenn_events";
/** Channel that migration 0005 notifies. */
const KEYS = "wrenn_keys";
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 10_000;

export class Notifications {
  readonly #url: string;
  readonly #log: FastifyBaseLogger;
  readonly #keyCache: ApiKeyCache;
  readonly #stop = new AbortController();
  readonly #waiting = new Map<string, Set<() => void>>();
  #running: Promise<void> | undefined;

  constructor(options: { url: string; log: FastifyBaseLogger; keyCache: ApiKeyCache }) {
    this.#url = options.url;
    this.#log = options.log;
    this.#keyCache = options.keyCache;
  }

  start(): void {
    this.#running ??= this.#listen();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    this.#wakeAll();
    await this.#running;
  }

  /** Settles at the next change of team `teamId` (any team: `*`), or when `signal` aborts. */
  async next(teamId: string, signal: AbortSignal): Promise<void> {
    if (signal.aborted || this.#stop.signal.aborted) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    const waiting = this.#waiting.get(teamId) ?? new Set();
    this.#waiting.set(teamId, waiting.add(resolve));
    signal.addEventListener("abort", () => resolve(), { once: true });
    await promise;
    waiting.delete(resolve);
    if (waiting.size === 0 && this.#waiting.get(teamId) === waiting) this.#waiting.delete(teamId);
  }

  async #listen(): Promise<void> {
    const { signal } = this.#stop;
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      const client = new pg.Client({ connectionString: this.#url, application_name: "wrenn-notifications" });
      try {
        const ended = Promise.withResolvers<void>();
        ended.promise.catch(() => undefined); // awaited below, when it is connected
        client.on("error", ended.reject);
        client.on("end", ended.resolve);
        client.on("notification", ({ channel, payload = "" }) => {
          if (channel === KEYS) this.#keyCache.forget();
          else this.#wake(payload);
        });
        const onStop = (): void => ended.resolve();
        signal.addEventListener("abort", onStop, { once: true });
        await client.connect();
        await client.query(`listen ${EVENTS}; listen ${KEYS}`);
        this.#keyCache.hearsOfChanges(true);
        retryMs = FIRST_RETRY_MS;
        this.#wakeAll(); // what was told while nobody listened
        await ended.promise;
        signal.removeEventListener("abort", onStop);
      } catch (error) {
        if (!signal.aborted) this.#log.warn({ err: error, retryMs }, "cannot listen for changes");
      } finally {
        this.#keyCache.hearsOfChanges(false);
        await client.end().catch(() => undefined);
      }
      await delay(retryMs, undefined, { signal, ref: false }).catch(() => undefined);
      retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
    }
  }

  #wake(teamId: string): void {
    for (const name of [teamId, "*"]) for (const resolve of this.#waiting.get(name) ?? []) resolve();
  }

  #wakeAll(): void {
    for (const waiting of this.#waiting.values()) for (const resolve of waiting) resolve();
  }
}
