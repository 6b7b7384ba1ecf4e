/**
 * GET /health: this process answers. GET /ready: requests can be served now, and if not, what is missing.
 * A supervisor restarts what is not healthy; a load balancer leaves alone what is not ready.
 */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { sql } from "kysely";
import { HealthResponse, ReadyResponse } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { toApiError } from "../http/errors.ts";
import type { Services } from "../services.ts";

const CHECK_TIMEOUT_MS = 3_000;

export const healthRoutes: FastifyPluginAsyncTypebox<{ services: Services; version: string }> = async (
  app,
  { services, version },
) => {
  app.get("/health", { schema: { response: { 200: HealthResponse } } }, async (_request, reply) => {
    return reply.header("cache-control", "no-store").send({ status: "ok" as const, version });
  });

  app.get("/ready", { schema: { response: { 200: ReadyResponse } } }, async (request, reply) => {
    const checks = {
      database: sql`select 1`.execute(services.database),
      "host agent": services.agent.getHost({ requestId: request.id }),
    };
    const results = await Promise.allSettled(
      Object.values<Promise<unknown>>(checks).map((check) => within(check, CHECK_TIMEOUT_MS)),
    );
    const missing = Object.keys(checks).flatMap((name, i) => {
      const result = results[i];
      return result?.status === "rejected" ? [`${name}: ${reasonOf(result.reason)}`] : [];
    });
    if (missing.length > 0) {
      throw new WrennError("unavailable", `Cannot serve: ${missing.join("; ")}`, {
        hint: "See ./wrenn status and ./wrenn logs",
      });
    }
    return reply.header("cache-control", "no-store").send({ status: "ready" as const, version });
  });
};

function reasonOf(error: unknown): string {
  const { code, message } = toApiError(error);
  return code === "internal" ? "does not answer" : message;
}

async function within(work: Promise<unknown>, timeoutMs: number): Promise<void> {
  const { promise, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new WrennError("timeout", `no answer within ${timeoutMs / 1_000} s`)),
    timeoutMs,
  );
  try {
    await Promise.race([work, promise]);
  } finally {
    clearTimeout(timer);
  }
}
