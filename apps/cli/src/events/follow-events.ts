/** The team's events as they happen, over server-sent events; a lost connection is made again where it broke. */
import { setTimeout as delay } from "node:timers/promises";
import type { Event } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { ApiClient } from "../api/client.ts";

const RETRY_MS = 2_000;
/** Answers that a later attempt may mend. */
const PASSING: ReadonlySet<string> = new Set(["unavailable", "timeout", "internal", "rate_limited"]);

export interface EventQuery {
  sandbox_id?: string;
  types?: string;
  /** The id after which to begin. */
  after: string;
}

export async function* followEvents(client: ApiClient, query: EventQuery, signal: AbortSignal): AsyncGenerator<Event> {
  let { after } = query;
  while (!signal.aborted) {
    try {
      for await (const event of eventsOf(await client.streamEvents({ ...query, after }, signal))) {
        yield event;
        after = event.id;
      }
    } catch (thrown) {
      const { code } = WrennError.from(thrown);
      if (signal.aborted) return;
      if (!PASSING.has(code)) throw thrown;
    }
    await delay(RETRY_MS, undefined, { signal }).catch(() => undefined);
  }
}

/** The `data` of every frame (HTML Living Standard, 9.2.6). */
async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<Event> {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of body) {
    const frames = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
    rest = frames.pop() ?? "";
    for (const frame of frames) {
      const data = /^data: (.*)$/m.exec(frame)?.[1];
      if (data !== undefined) yield JSON.parse(data) as Event;
    }
  }
}
