/**
 * An orderly end: once the server closes, new requests on connections that are still open are refused,
 * those under way are answered, and no connection is kept open for more.
 */
import type { FastifyInstance } from "fastify";
import { WrennError } from "@wrenn/errors";

/** Node closes connections that are idle when the server closes, not those that become so later. */
const SWEEP_INTERVAL_MS = 50;

export function refuseWhileClosing(app: FastifyInstance): void {
  let closing = false;
  app.addHook("preClose", async () => {
    closing = true;
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
