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

  /** Sends what is due now. @returns how many were tried. */
  async deliverDue(): Promise<number> {
    const due = await this.#options.webhooks.take(PARALLEL, LEASE_SEC);
    await Promise.all(due.map((delivery) => this.#deliver(delivery)));
    return due.length;
  }

  async #run(): Promise<void> {
    const { log, notifications } = this.#options;
    const { signal } = this.#stop;
    while (!signal.aborted) {
      const changed = notifications.next("*", AbortSignal.any([signal, AbortSignal.timeout(LOOK_INTERVAL_MS)]));
      try {
        if ((await this.deliverDue()) === PARALLEL) continue; // there may be more
      } catch (error) {
        log.warn({ err: error }, "cannot look for webhooks that are due");
      }
      await changed;
    }
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
