/**
 * Asks a guest whether it is there, apart from the connections that serve users: `GET /health` on a
 * connection of its own.
 */
import { once } from "node:events";
import { get } from "node:http";
import { GUEST_AGENT_PORT } from "./connect-to-guest.ts";

/**
 * - `answers`: the guest agent works.
 * - `accepts`: the guest's kernel takes or refuses connections, its agent does not answer.
 * - `silent`: not even the kernel.
 */
export type ProbeResult = "answers" | "accepts" | "silent";

/** Asks once; settles after `deadlineMs` at the latest and never rejects. */
export async function probeGuest(address: string, deadlineMs: number): Promise<ProbeResult> {
  const signal = AbortSignal.timeout(deadlineMs);
  let reached: ProbeResult = "silent";
  const request = get({ host: address, port: GUEST_AGENT_PORT, path: "/health", agent: false, signal });
  request.on("socket", (socket) => socket.once("connect", () => (reached = "accepts")));
  try {
    const [response] = await once(request, "response", { signal });
    response.resume();
    return "answers";
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "ECONNREFUSED" ? "accepts" : reached;
  } finally {
    request.on("error", () => undefined).destroy();
  }
}
