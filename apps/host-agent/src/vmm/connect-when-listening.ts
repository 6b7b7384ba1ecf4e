/** The first connection to a process that has just been started. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout } from "node:timers/promises";

/** Some seconds in all, for a host that does not let it run meanwhile. */
const LISTEN_ATTEMPTS = 50;
/** Longer by as much each time. */
const LISTEN_RETRY_MS = 2;

/** A VMM's socket is there a moment before it listens: nothing tells when, so a refusal is tried again. */
export async function connectWhenListening(path: string, signal: AbortSignal): Promise<Socket> {
  for (let attempt = 1; ; attempt++) {
    const socket = connect({ path });
    try {
      await once(socket, "connect", { signal });
      return socket;
    } catch (error) {
      socket.destroy();
      signal.throwIfAborted();
      if ((error as NodeJS.ErrnoException).code !== "ECONNREFUSED" || attempt === LISTEN_ATTEMPTS) throw error;
      await setTimeout(attempt * LISTEN_RETRY_MS, undefined, { signal });
    }
  }
}
