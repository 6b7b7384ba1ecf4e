/**
 * LISTEN on one connection of its own: who waits for changes of a team is woken by the transaction that
 * made them, on whichever control plane. A hint only: a lost connection loses hints, so everybody who
 * waits also looks now and then.
 */
import { Socket } from "node:net";
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
const CONNECT_TIMEOUT_MS = 10_000;
/** After this much silence the kernel asks whether the server is still there. */
const KEEP_ALIVE_MS = 10_000;

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
    const onAbort = (): void => resolve();
    signal.addEventListener("abort", onAbort, { once: true });
    await promise;
    signal.removeEventListener("abort", onAbort);
    waiting.delete(resolve);
    if (waiting.size === 0 && this.#waiting.get(teamId) === waiting) this.#waiting.delete(teamId);
  }

  async #listen(): Promise<void> {
    const { signal } = this.#stop;
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      try {
        await this.#hear(() => (retryMs = FIRST_RETRY_MS));
      } catch (error) {
        if (!signal.aborted) this.#log.warn({ err: error, retryMs }, "cannot listen for changes");
      } finally {
        this.#keyCache.hearsOfChanges(false);
      }
      await delay(retryMs, undefined, { signal, ref: false }).catch(() => undefined);
      retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
    }
  }

  /** Listens on a connection of its own until that ends. */
  async #hear(onListening: () => void): Promise<void> {
    const { signal } = this.#stop;
    // ours, so that it can be cut: a server that stands still lets neither a connect nor an orderly end come to one
    const socket = new Socket();
    const cut = (): void => void socket.destroy();
    signal.addEventListener("abort", cut);
    const client = new pg.Client({
      connectionString: this.#url,
      application_name: "wrenn-notifications",
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: KEEP_ALIVE_MS,
      stream: () => socket,
    });
    const ended = Promise.withResolvers<void>();
    ended.promise.catch(() => undefined); // awaited below, when it is connected
    client.on("error", ended.reject);
    client.on("end", ended.resolve);
    client.on("notification", ({ channel, payload = "" }) => {
      if (channel === KEYS) this.#keyCache.forget();
      else this.#wake(payload);
    });
    try {
      await client.connect();
      await client.query(`listen ${EVENTS}; listen ${KEYS}`);
      this.#keyCache.hearsOfChanges(true);
      onListening();
      this.#wakeAll(); // what was told while nobody listened
      await ended.promise;
    } finally {
      signal.removeEventListener("abort", cut);
      socket.destroy();
    }
  }

  #wake(teamId: string): void {
    for (const name of [teamId, "*"]) for (const resolve of this.#waiting.get(name) ?? []) resolve();
  }

  #wakeAll(): void {
    for (const waiting of this.#waiting.values()) for (const resolve of waiting) resolve();
  }
}
