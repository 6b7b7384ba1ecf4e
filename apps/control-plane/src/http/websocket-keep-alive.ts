/** Pings a WebSocket's client, and ends the socket of one that does not answer any more. */
import type { WebSocket } from "ws";

const PING_INTERVAL_MS = 30_000;
/** Pings without an answer after which the client counts as gone. */
const MAX_MISSED_PONGS = 3;

export function keepAlive(socket: WebSocket): void {
  let missedPongs = 0;
  const timer = setInterval(() => {
    if (missedPongs >= MAX_MISSED_PONGS) {
      socket.terminate();
      return;
    }
    missedPongs += 1;
    socket.ping();
  }, PING_INTERVAL_MS);
  socket.on("pong", () => (missedPongs = 0));
  socket.once("close", () => clearInterval(timer));
}
