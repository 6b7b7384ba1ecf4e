/** Who a request is from: the hook before every route below /v1. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { API_KEY_HEADER } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { ApiKeyStore, Caller } from "./api-key-store.ts";
import { hashApiKey } from "./api-key.ts";
import type { KeyUse } from "./key-use.ts";

declare module "fastify" {
  interface FastifyRequest {
    caller: Caller | null;
  }
}

/** Refuses requests without a valid key, before their body is read or a connection is upgraded. */
export function requireApiKey(app: FastifyInstance, { keys, use }: { keys: ApiKeyStore; use: KeyUse }): void {
  app.decorateRequest("caller", null);
  app.addHook("onRequest", async (request) => {
    const given = request.headers[API_KEY_HEADER];
    if (given === undefined) throw unauthorized("Cannot tell who asks: the header X-API-Key is missing");
    const hash = typeof given === "string" ? hashApiKey(given) : undefined;
    const caller = hash === undefined ? undefined : await keys.findByHash(hash);
    if (caller === undefined) throw unauthorized("Cannot accept the API key: it is unknown, expired or deleted");
    use.record(caller.apiKeyId);
    request.caller = caller;
  });
}

/** The caller of a request that passed the hook. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === null) throw new TypeError("Cannot tell who asks: this route is outside of requireApiKey");
  return request.caller;
}

function unauthorized(message: string): WrennError {
  return new WrennError("unauthorized", message, {
    hint: 'Send the key that eval "$(./wrenn env)" puts into WRENN_API_KEY',
  });
}
