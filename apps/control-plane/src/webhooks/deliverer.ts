/**
 * Sends events to webhooks: at least once, signed, again after longer and longer waits while the other
 * side does not answer with 2xx. What is due is in the database, so any control plane goes on with it.
 */
import type { FastifyBaseLogger } from "fastify";
import { request } from "undici";
import { WrennError } from "@wrenn/errors";
import type { Notifications } from "../database/notifications.ts";
import { eventOf } from "../events/event-store.ts";
import type { Destinations } from "./destination.ts";
import { signatureHeaders } from "./signature.ts";
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
    const { log, onAttempt, webhooks } = this.#options;
    const { webhook, event, attempts } = delivery;
    try {
      await this.#send(delivery);
      await webhooks.recordDelivered(delivery);
      onAttempt("delivered");
    } catch (error) {
      const why = reasonOf(error);
      const wait = webhook.enabled ? RETRY_AFTER_SEC[attempts - 1] : undefined;
      onAttempt(wait === undefined ? "failed" : "retried");
      log.info({ webhook: webhook.id, event: event.id, attempts, reason: why }, "webhook was not delivered");
      await webhooks
        .recordFailed(delivery, why, wait === undefined ? undefined : jittered(wait))
        .catch((cause: unknown) => log.warn({ webhook: webhook.id, err: cause }, "cannot record a webhook's attempt"));
    }
  }

  async #send({ webhook, event }: Delivery): Promise<void> {
    const { destinations } = this.#options;
    destinations.check(webhook.url);
    const body = JSON.stringify(eventOf(event));
    const { statusCode, body: answer } = await request(webhook.url, {
      method: "POST",
      dispatcher: destinations.agent,
      signal: AbortSignal.timeout(ATTEMPT_TIMEOUT_MS),
      headers: {
        "content-type": "application/json",
        "user-agent": "wrenn-webhooks",
        ...signatureHeaders(webhook.secret, {
          id: `${webhook.id}.${event.id}`,
          timestamp: Math.floor(Date.now() / 1_000),
          body,
        }),
      },
      body,
    });
    await answer.dump({ limit: 65_536, signal: AbortSignal.timeout(ATTEMPT_TIMEOUT_MS) }).catch(() => undefined);
    if (statusCode < 200 || statusCode >= 300)
      throw new WrennError("unavailable", `it was answered with ${statusCode}`);
  }
}

/** So that many that failed together are not repeated together. */
function jittered(seconds: number): number {
  return seconds * (0.8 + Math.random() * 0.4);
}

function reasonOf(error: unknown): string {
  for (let cause = error; cause instanceof Error; cause = cause.cause)
    if (cause instanceof WrennError) return cause.message;
  const { code, message } = error as NodeJS.ErrnoException;
  return code ?? message;
}
