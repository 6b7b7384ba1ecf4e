/** Makes every request a span, in which its handlers run; one of the client's own trace when it has one. */
import type { FastifyInstance } from "fastify";
import { WrennError } from "@wrenn/errors";
import { isTracing, span } from "@wrenn/tracing";

export function traceRequests(app: FastifyInstance): void {
  app.addHook("onRequest", (request, reply, done) => {
    if (!isTracing()) {
      done();
      return;
    }
    const { traceparent } = request.headers;
    const route = request.routeOptions.url ?? "unknown";
    const attributes = { "http.request.method": request.method, "http.route": route, "wrenn.request_id": request.id };
    void span(
      `${request.method} ${route}`,
      { kind: "server", traceparent: typeof traceparent === "string" ? traceparent : undefined, attributes },
      async () => {
        const ended = Promise.withResolvers<void>();
        reply.raw.once("close", ended.resolve);
        done();
        await ended.promise;
        if (reply.statusCode >= 500) throw new WrennError("internal", `answered ${reply.statusCode}`);
      },
    ).catch(() => undefined); // an error is the span's status only
  });
}
