/** The team's sandboxes and events as they are now: listed once, then followed by the event stream. */
import { useEffect, useReducer } from "react";
import { serverEvents, WrennError, type Event, type SandboxData, type Wrenn } from "@wrenn/sdk";

const KEPT_EVENTS = 500;
/** The most that one answer has. */
const EVENTS_PAGE = 100;
const RECONNECT_MS = 1_000;

export interface Live {
  /** Undefined until they are listed. */
  sandboxes: ReadonlyMap<string, SandboxData> | undefined;
  /** Newest first; undefined until they are listed. */
  events: readonly Event[] | undefined;
  connected: boolean;
  /** Why it is not connected. */
  error: unknown;
}

/** With a way to look at one sandbox at once, after something was done with it. */
export type LiveState = Live & { refresh: (id: string) => Promise<void> };

type Change =
  | { type: "listed"; sandboxes: SandboxData[] }
  | { type: "sandbox"; sandbox: SandboxData }
  | { type: "gone"; id: string }
  | { type: "events"; events: Event[] }
  | { type: "connected"; connected: boolean; error?: unknown };

function reduce(live: Live, change: Change): Live {
  switch (change.type) {
    case "listed":
      return { ...live, sandboxes: new Map(change.sandboxes.map((one) => [one.id, one])) };
    case "sandbox":
      return { ...live, sandboxes: new Map(live.sandboxes).set(change.sandbox.id, change.sandbox) };
    case "gone": {
      const sandboxes = new Map(live.sandboxes);
      sandboxes.delete(change.id);
      return { ...live, sandboxes };
    }
    case "events":
      return { ...live, events: [...change.events.toReversed(), ...(live.events ?? [])].slice(0, KEPT_EVENTS) };
    case "connected":
      return { ...live, connected: change.connected, error: change.error };
  }
}

export function useLive(client: Wrenn): LiveState {
  const [live, change] = useReducer(reduce, {
    sandboxes: undefined,
    events: undefined,
    connected: false,
    error: undefined,
  });

  const refresh = async (id: string): Promise<void> => {
    const { data } = await client.sandboxes.get(id);
    change(data.status === "gone" ? { type: "gone", id } : { type: "sandbox", sandbox: data });
  };

  useEffect(() => {
    const stop = new AbortController();
    void follow(client, change, refresh, stop.signal);
    return () => stop.abort();
  }, [client]);

  return { ...live, refresh };
}

/** Follows for ever; after a break it goes on behind the last event that came. */
async function follow(
  client: Wrenn,
  change: (change: Change) => void,
  refresh: (id: string) => Promise<void>,
  signal: AbortSignal,
): Promise<void> {
  let last = "0";
  while (!signal.aborted) {
    try {
      last = await catchUp(client, last, change, signal);
      const { body } = await client.response("streamEvents", { query: { after: last }, signal });
      if (body === null) throw new Error("Cannot follow the events: the answer is empty");
      // listed while the stream is open, so that no change falls in between
      const sandboxes = await Array.fromAsync(client.sandboxes.list({}, { signal }), ({ data }) => data);
      change({ type: "listed", sandboxes });
      change({ type: "connected", connected: true });
      for await (const { data, id } of serverEvents(body)) {
        last = id;
        const event = JSON.parse(data) as Event;
        change({ type: "events", events: [event] });
        void refresh(event.sandbox_id).catch(() => undefined);
      }
      throw new WrennError("unavailable", "Cannot follow what happens: the platform ended the stream");
    } catch (error) {
      if (signal.aborted) return;
      change({ type: "connected", connected: false, error });
      if (error instanceof WrennError && error.code === "unauthorized") return;
    }
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
}

/** What happened before, or while nothing could be heard. @returns the id of the last event */
async function catchUp(
  client: Wrenn,
  after: string,
  change: (change: Change) => void,
  signal: AbortSignal,
): Promise<string> {
  const missed: Event[] = [];
  let last = after;
  for (;;) {
    const page = await client.call("listEvents", { query: { after: last, limit: EVENTS_PAGE }, signal });
    missed.push(...page);
    last = page.at(-1)?.id ?? last;
    if (page.length < EVENTS_PAGE) break;
  }
  change({ type: "events", events: missed.slice(-KEPT_EVENTS) });
  return last;
}
