/**
 * An orderly end: once the server closes, new requests on connections that are still open are refused,
 * those under way are answered, and no connection is kept open for more.
 */
import type { IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import { Server as TlsServer } from "node:tls";
import type { FastifyInstance } from "fastify";
import { WrennError } from "@wrenn/errors";

/** Node closes connections that are idle when the server closes, not those that become so later. */
const SWEEP_INTERVAL_MS = 50;

export function refuseWhileClosing(app: FastifyInstance): void {
  let closing = false;
  const silent = silentConnections(app);
  app.addHook("preClose", async () => {
    closing = true;
    for (const socket of silent) socket.destroy();
    const sweep = setInterval(() => app.server.closeIdleConnections(), SWEEP_INTERVAL_MS);
    app.server.once("close", () => clearInterval(sweep));
  });
  app.addHook("onRequest", async (_request, reply) => {
    if (!closing) return;
    reply.header("connection", "close");
    throw new WrennError("unavailable", "Cannot take the request: the control plane is stopping", {
      hint: "Repeat it in a moment",
    });
  });
}

/**
 * Connections on which nothing was asked yet: clients open some in advance. To Node they are not idle before
 * `headersTimeout` is over, so that one of them would hold the end up for more than a minute.
 */
function silentConnections({ server }: FastifyInstance): ReadonlySet<Socket> {
  const silent = new Set<Socket>();
  server.on(server instanceof TlsServer ? "secureConnection" : "connection", (socket: Socket) => {
    silent.add(socket);
    socket.once("close", () => silent.delete(socket));
  });
  for (const event of ["request", "upgrade"])
    server.on(event, ({ socket }: IncomingMessage) => void silent.delete(socket));
  return silent;
}
