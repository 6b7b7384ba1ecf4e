/** Holds callers to a number of requests per minute. Per control plane and in memory: a guard, no quota. */
import type { FastifyInstance } from "fastify";
import { Attempts } from "../auth/attempts.ts";
import { callerOf } from "../auth/authenticate.ts";

/** A full bucket lasts this long when it is used evenly. */
const WINDOW_MS = 60_000;

/** To be called after authentication. @param options.perMinute 0: no limit. */
export function limitRate(app: FastifyInstance, options: { perMinute: number; onLimited: () => void }): void {
  if (options.perMinute === 0) return;
  const attempts = new Attempts({
    burst: options.perMinute,
    windowMs: WINDOW_MS,
    message: "Cannot take the request: too many came from this caller",
  });
  app.addHook("onRequest", async (request) => {
    const key = request.caller === null ? `address ${request.ip}` : callerOf(request).actor.id;
    try {
      attempts.take(key);
    } catch (error) {
      options.onLimited();
      throw error;
    }
  });
}
