/** The team's events as they happen; a lost connection is made again and goes on where it broke. */
import { WrennError } from "./errors.ts";
import type { ErrorCode, Event } from "./generated.ts";
import { serverEvents } from "./server-events.ts";
import type { Transport } from "./transport.ts";

const RETRY_MS = 2_000;
/** Answers that a later attempt may mend. */
const PASSING: ReadonlySet<ErrorCode> = new Set(["unavailable", "timeout", "internal", "rate_limited"]);

export interface EventOptions {
  /** Begins with what followed the event of this id, `"0"` with the oldest that is kept; from now on unless told. */
  after?: string;
  /** Only those of this sandbox. */
  sandboxId?: string;
  /** Only those of these types. */
  types?: readonly Event["type"][];
  signal?: AbortSignal | undefined;
}

/**
 * Does not end by itself.
 * @throws WrennError what no later attempt mends, such as `unauthorized`; the signal's reason
 */
export async function* followEvents(transport: Transport, options: EventOptions): AsyncGenerator<Event, never> {
  const { sandboxId, types, signal } = options;
  let { after } = options;
  for (;;) {
    try {
      const query = { after, sandbox_id: sandboxId, types: types?.join(",") };
      const { body } = await transport.response("streamEvents", { query, signal });
      for await (const { data } of body === null ? [] : serverEvents(body)) {
        const event = JSON.parse(data) as Event;
        after = event.id;
        yield event;
      }
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof WrennError && !PASSING.has(error.code)) throw error;
    }
    await pause(RETRY_MS, signal);
  }
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted();
  await new Promise<void>((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = setTimeout(end, milliseconds);
    signal?.addEventListener("abort", end);
  });
  signal?.throwIfAborted();
}
