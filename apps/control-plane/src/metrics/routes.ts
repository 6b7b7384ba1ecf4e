/**
 * GET /metrics: for a Prometheus. It tells nothing of tenants, but what the platform does is its
 * operator's business: with `WRENN_METRICS_TOKEN` it asks for that token, without it answers only this
 * machine, and not what a proxy passes on.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import type { FastifyInstance, FastifyRequest } from "fastify";
import { WrennError } from "@wrenn/errors";
import type { Metrics } from "./metrics.ts";

const LOOPBACK = new Set(["127.0.0.1", "::1", "::ffff:127.0.0.1"]);

export function metricsRoute(app: FastifyInstance, metrics: Metrics, token: string | undefined): void {
  app.get("/metrics", { exposeHeadRoute: false }, async (request, reply) => {
    checkAccess(request, token);
    const { contentType, text } = await metrics.expose();
    return reply.header("cache-control", "no-store").type(contentType).send(text);
  });
}

/** Counts and times every request. */
export function measureRequests(app: FastifyInstance, metrics: Metrics): void {
  app.addHook("onResponse", async (request, reply) => {
    metrics.requests.observe(
      { method: request.method, route: request.routeOptions.url ?? "unknown", status: String(reply.statusCode) },
      reply.elapsedTime / 1_000,
    );
  });
}

function checkAccess({ headers, raw }: FastifyRequest, token: string | undefined): void {
  if (token !== undefined) {
    if (timingSafeEqual(digest(headers.authorization ?? ""), digest(`Bearer ${token}`))) return;
    throw new WrennError("unauthorized", "Cannot show metrics: the token is missing or wrong", {
      hint: "Send Authorization: Bearer and the value of WRENN_METRICS_TOKEN",
    });
  }
  if (LOOPBACK.has(raw.socket.remoteAddress ?? "127.0.0.1") && headers["x-forwarded-for"] === undefined) return;
  throw new WrennError("forbidden", "Cannot show metrics: only this machine may see them", {
    hint: "Set WRENN_METRICS_TOKEN to let others in",
  });
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();
