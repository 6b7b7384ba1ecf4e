/** Headers that keep a browser from making more of an answer than it is. Pages bring their own policy. */
import type { FastifyInstance } from "fastify";

const HEADERS = Object.entries({
  "x-content-type-options": "nosniff",
  "x-frame-options": "DENY",
  "referrer-policy": "no-referrer",
  "cross-origin-resource-policy": "same-origin",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
});
const STRICT_TRANSPORT = "max-age=31536000";

export function addSecurityHeaders(app: FastifyInstance, options: { tls: boolean }): void {
  app.addHook("onSend", async (_request, reply) => {
    for (const [name, value] of HEADERS) if (!reply.hasHeader(name)) reply.header(name, value);
    if (options.tls) reply.header("strict-transport-security", STRICT_TRANSPORT);
  });
}
