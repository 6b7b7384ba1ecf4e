/**
 * TCP to a guest that may have begun to run only now. A packet that comes before its kernel takes any is lost,
 * and TCP would wait a second to send it again: so another attempt is begun beside those that wait, and the
 * first one that is answered counts. On a busy host an answer takes its time, and none is given up for that.
 */
import { connect, type Socket } from "node:net";
import { WrennError } from "@wrenn/errors";

export const GUEST_AGENT_PORT = 49983;
/** A guest that runs on a host with time to spare answers within this. */
const NEXT_ATTEMPT_MS = 150;
/** Each wait beside the one before: some dozen attempts in ten seconds, all of which may still be answered. */
const GROWTH = 1.25;

/**
 * Connects to the guest agent.
 * @throws WrennError `sandbox_unreachable` when the guest refuses, or answers nothing within `deadlineMs`
 */
export async function connectToGuest(address: string, deadlineMs: number): Promise<Socket> {
  const attempts = new Set<Socket>();
  const { promise, resolve, reject } = Promise.withResolvers<Socket>();
  const attempt = (): void => {
    const socket = connect({ host: address, port: GUEST_AGENT_PORT, noDelay: true, keepAlive: true });
    attempts.add(socket);
    socket.once("connect", () => resolve(socket));
    socket.on("error", reject);
  };
  let again: NodeJS.Timeout | undefined;
  const attemptFrom = (waitMs: number): void => {
    attempt();
    again = setTimeout(attemptFrom, waitMs, waitMs * GROWTH);
  };
  const late = setTimeout(() => reject(new Error(`no answer in ${deadlineMs} ms`)), deadlineMs);
  attemptFrom(NEXT_ATTEMPT_MS);
  try {
    const connected = await promise;
    attempts.delete(connected);
    connected.off("error", reject);
    return connected;
  } catch (cause) {
    throw new WrennError("sandbox_unreachable", "Cannot reach the guest", { cause });
  } finally {
    clearTimeout(again);
    clearTimeout(late);
    for (const socket of attempts) socket.destroy();
  }
}
