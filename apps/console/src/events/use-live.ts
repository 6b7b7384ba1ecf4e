/** The team's sandboxes and events as they are now: listed once, then followed by the event stream. */
import { useEffect, useReducer } from "react";
import { serverEvents, type Event, type SandboxData, type Wrenn } from "@wrenn/sdk";

const KEPT_EVENTS = 500;
const RECONNECT_MS = 1_000;

export interface Live {
  /** Undefined until they are listed. */
  sandboxes: ReadonlyMap<string, SandboxData> | undefined;
  /** Newest first. */
  events: readonly Event[];
  connected: boolean;
  error: unknown;
}

type Change =
  | { type: "listed"; sandboxes: SandboxData[] }
  | { type: "sandbox"; sandbox: SandboxData }
  | { type: "gone"; id: string }
  | { type: "event"; event: Event }
  | { type: "connected"; connected: boolean; error?: unknown };

function reduce(live: Live, change: Change): Live {
  switch (change.type) {
    case "listed":
      return { ...live, sandboxes: new Map(change.sandboxes.map((one) => [one.id, one])), error: undefined };
    case "sandbox":
      return { ...live, sandboxes: new Map(live.sandboxes).set(change.sandbox.id, change.sandbox) };
    case "gone": {
      const sandboxes = new Map(live.sandboxes);
      sandboxes.delete(change.id);
      return { ...live, sandboxes };
    }
    case "event":
      return { ...live, events: [change.event, ...live.events].slice(0, KEPT_EVENTS) };
    case "connected":
      return { ...live, connected: change.connected, error: change.error };
  }
}

export function useLive(client: Wrenn): Live & { refresh: (id: string) => Promise<void> } {
  const [live, change] = useReducer(reduce, { sandboxes: undefined, events: [], connected: false, error: undefined });

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
  let last: string | undefined;
  while (!signal.aborted) {
    try {
      const response = await client.response("streamEvents", {
        query: last === undefined ? {} : { after: last },
        signal,
      });
      if (response.body === null) throw new Error("Cannot follow the events: the answer is empty");
      change({ type: "connected", connected: true });
      // listed while the stream is open, so that no change falls in between
      const sandboxes = await Array.fromAsync(client.sandboxes.list({}, { signal }), ({ data }) => data);
      change({ type: "listed", sandboxes });
      for await (const { data, id } of serverEvents(response.body)) {
        last = id;
        const event = JSON.parse(data) as Event;
        change({ type: "event", event });
        void refresh(event.sandbox_id).catch(() => change({ type: "gone", id: event.sandbox_id }));
      }
      change({ type: "connected", connected: false });
    } catch (error) {
      if (!signal.aborted) change({ type: "connected", connected: false, error });
    }
    await new Promise((resolve) => setTimeout(resolve, RECONNECT_MS));
  }
}
