/**
 * A team's events as server-sent events (HTML Living Standard, 9.2). Each carries its id, so that a
 * client that was cut off goes on where it was. One that does not read is not read for: nothing is
 * buffered beyond a page, and it is cut off after a while.
 */
import { once } from "node:events";
import { PassThrough, type Readable } from "node:stream";
import type { FastifyBaseLogger } from "fastify";
import type { Event } from "@wrenn/api-schema";
import type { Notifications } from "../database/notifications.ts";
import type { EventFilter, EventStore } from "./event-store.ts";

const PAGE_SIZE = 100;
/** How often it looks without being told, and shows that it is alive. */
const LOOK_INTERVAL_MS = 10_000;
/** What a client waits before it connects again. */
const RETRY_MS = 2_000;
/** A client that takes nothing for this long is cut off. */
const STALLED_MS = 60_000;

export interface EventStreamOptions {
  events: EventStore;
  notifications: Notifications;
  teamId: string;
  /** The id after which it begins. */
  after: number;
  filter: EventFilter;
  log: FastifyBaseLogger;
}

export class EventStream {
  readonly #options: EventStreamOptions;
  readonly #stop = new AbortController();
  readonly #body = new PassThrough();

  constructor(options: EventStreamOptions) {
    this.#options = options;
    this.#body.on("error", () => undefined); // the connection is gone; its close ends the stream
    void this.#run();
  }

  get body(): Readable {
    return this.#body;
  }

  /** Ends it; the client comes back by itself and goes on after the last event that it got. */
  end(): void {
    this.#stop.abort();
  }

  async #run(): Promise<void> {
    const { events, filter, log, notifications, teamId } = this.#options;
    const { signal } = this.#stop;
    let { after } = this.#options;
    try {
      await this.#write(`retry: ${RETRY_MS}\n: connected\n\n`);
      while (!signal.aborted) {
        // begun before the look, so that nothing is missed in between
        const looked = new AbortController();
        const changed = notifications.next(
          teamId,
          AbortSignal.any([signal, looked.signal, AbortSignal.timeout(LOOK_INTERVAL_MS)]),
        );
        const page = await events.after(teamId, after, PAGE_SIZE, filter);
        for (const event of page) await this.#write(frameOf(event));
        after = Number(page.at(-1)?.id ?? after);
        if (page.length === PAGE_SIZE) looked.abort();
        await changed;
        if (page.length === 0) await this.#write(": alive\n\n");
      }
    } catch (error) {
      if (!signal.aborted) log.warn({ err: error }, "cannot go on with a stream of events");
    }
    this.#body.end();
  }

  /** Answers when there is room for more. */
  async #write(text: string): Promise<void> {
    if (this.#body.write(text)) return;
    const signal = AbortSignal.any([this.#stop.signal, AbortSignal.timeout(STALLED_MS)]);
    try {
      await once(this.#body, "drain", { signal });
    } catch (error) {
      if (!this.#stop.signal.aborted) this.#body.destroy();
      throw error;
    }
  }
}

function frameOf(event: Event): string {
  return `id: ${event.id}\nevent: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`;
}
