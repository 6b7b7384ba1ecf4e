/**
 * Sends events to webhooks: at least once, signed, again after longer and longer waits while the other
 * side does not answer with 2xx. What is due is in the database, so any control plane goes on with it.
 */
import type { FastifyBaseLogger } from "fastify";
import { WrennError } from "@wrenn/errors";
import type { Notifications } from "../database/notifications.ts";
import { attempt } from "./attempt.ts";
import type { Destinations } from "./destination.ts";
import type { Delivery, WebhookStore } from "./webhook-store.ts";

/** Waits between the attempts: the last one is about a day after the first. */
export const RETRY_AFTER_SEC = [5, 30, 120, 600, 3_600, 10_800, 28_800, 43_200] as const;
const PARALLEL = 16;
/** A webhook to which so many are under way gets no more, so that one that hangs leaves the others their places. */
const PARALLEL_TO_ONE = 4;
/** Taken in one go, all of which may be for one webhook. */
const TAKEN_AT_ONCE = 4;
/** Time for one attempt, all in all. */
export const ATTEMPT_TIMEOUT_MS = 15_000;
/** Longer than an attempt, or it would be sent twice. */
const LEASE_SEC = 60;
const LOOK_INTERVAL_MS = 2_000;

export interface DelivererOptions {
  webhooks: WebhookStore;
  destinations: Destinations;
  notifications: Notifications;
  log: FastifyBaseLogger;
  /** Told of every attempt. */
  onAttempt: (outcome: "delivered" | "retried" | "failed") => void;
}

export class Deliverer {
  readonly #options: DelivererOptions;
  readonly #stop = new AbortController();
  readonly #underWay = new Map<Delivery, Promise<void>>();
  #running: Promise<void> | undefined;

  constructor(options: DelivererOptions) {
    this.#options = options;
  }

  start(): void {
    this.#running ??= this.#run();
  }

  /** Waits for the attempts that are under way. */
  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #run(): Promise<void> {
    const { log, notifications } = this.#options;
    const { signal } = this.#stop;
    let changed: Promise<void> | undefined;
    while (!signal.aborted) {
      changed ??= notifications.next("*", AbortSignal.any([signal, AbortSignal.timeout(LOOK_INTERVAL_MS)])).then(() => {
        changed = undefined;
      });
      try {
        if (await this.#sendDue()) continue; // there may be more
      } catch (error) {
        log.warn({ err: error }, "cannot look for webhooks that are due");
      }
      await Promise.race([changed, ...this.#underWay.values()]);
    }
    await Promise.all(this.#underWay.values());
  }

  /** Begins to send what is due now. @returns whether there may be more that has a place. */
  async #sendDue(): Promise<boolean> {
    const places = Math.min(TAKEN_AT_ONCE, PARALLEL - this.#underWay.size);
    if (places === 0) return false;
    const due = await this.#options.webhooks.take(places, LEASE_SEC, this.#busyWebhooks());
    for (const delivery of due) {
      const sending = this.#deliver(delivery).finally(() => this.#underWay.delete(delivery));
      this.#underWay.set(delivery, sending);
    }
    return due.length === places;
  }

  #busyWebhooks(): string[] {
    const counts = new Map<string, number>();
    for (const { webhook } of this.#underWay.keys()) counts.set(webhook.id, (counts.get(webhook.id) ?? 0) + 1);
    return [...counts].filter(([, count]) => count >= PARALLEL_TO_ONE).map(([id]) => id);
  }

  async #deliver(delivery: Delivery): Promise<void> {
    const { destinations, log, onAttempt, webhooks } = this.#options;
    const { webhook, event, attempts } = delivery;
    try {
      await attempt(webhook, event, destinations);
      await webhooks.recordDelivered(delivery);
      onAttempt("delivered");
    } catch (error) {
      const why = WrennError.from(error).message;
      const wait = webhook.enabled ? RETRY_AFTER_SEC[attempts - 1] : undefined;
      onAttempt(wait === undefined ? "failed" : "retried");
      log.info({ webhook: webhook.id, event: event.id, attempts, reason: why }, "webhook was not delivered");
      await webhooks
        .recordFailed(delivery, why, wait === undefined ? undefined : jittered(wait))
        .catch((cause: unknown) => log.warn({ webhook: webhook.id, err: cause }, "cannot record a webhook's attempt"));
    }
  }
}

/** So that many that failed together are not repeated together. */
function jittered(seconds: number): number {
  return seconds * (0.8 + Math.random() * 0.4);
}
