/** /v1/api-keys: the keys of a team. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import {
  ApiKey,
  ApiKeyParams,
  CreateApiKeyRequest,
  CreatedApiKey,
  DEFAULT_SCOPES,
  PageQuery,
  type Scope,
} from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { answerPage } from "../http/page.ts";
import type { Services } from "../services.ts";
import type { ApiKeyRow } from "./api-key-store.ts";
import { callerOf } from "./authenticate.ts";
import { scopesOfKey, type Caller } from "./caller.ts";

export const apiKeyRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (
  app,
  { services: { keys, keyCache } },
) => {
  app.post(
    "/api-keys",
    { schema: { body: CreateApiKeyRequest, response: { 201: CreatedApiKey } } },
    async (request, reply) => {
      const caller = callerOf(request);
      const { name, scopes = DEFAULT_SCOPES, expires_in_sec: lifetimeSec } = request.body;
      checkGrant(caller, scopes);
      const { row, key } = await keys.create({
        teamId: caller.teamId,
        name,
        scopes,
        createdBy: caller.userId,
        lifetimeSec,
      });
      return reply
        .code(201)
        .header("location", `/v1/api-keys/${row.id}`)
        .send({ ...viewOf(row), key });
    },
  );

  app.get(
    "/api-keys",
    { schema: { querystring: PageQuery, response: { 200: Type.Array(ApiKey) } } },
    async (request, reply) =>
      await answerPage(reply, request.query, (page) => keys.page(callerOf(request).teamId, page), viewOf),
  );

  app.delete("/api-keys/:id", { schema: { params: ApiKeyParams } }, async (request, reply) => {
    const caller = callerOf(request);
    const { id } = request.params;
    const found = await keys.find(caller.teamId, id);
    if (found !== undefined) checkDelete(caller, scopesOfKey(found.scopes));
    if (found === undefined || !(await keys.delete(caller.teamId, id))) {
      throw new WrennError("not_found", `Cannot find API key ${id}`, { hint: "GET /v1/api-keys lists your team's" });
    }
    keyCache.forget();
    return reply.code(204).send();
  });
};

/** Nobody gives a key more than they have. @throws WrennError `forbidden` */
function checkGrant({ scopes }: Caller, wanted: readonly Scope[]): void {
  const missing = wanted.filter((scope) => !scopes.includes(scope));
  if (missing.length === 0) return;
  throw new WrennError("forbidden", `Cannot make a key with ${missing.join(", ")}: you do not have that yourself`, {
    hint: `Name its scopes; you have ${scopes.join(", ")}`,
  });
}

/** The key of who runs the platform is not for a team's admins to take away. @throws WrennError `forbidden` */
function checkDelete({ scopes }: Caller, ofKey: readonly Scope[]): void {
  if (!ofKey.includes("platform:write") || scopes.includes("platform:write")) return;
  throw new WrennError("forbidden", "Cannot delete this key: it is the one of who runs the platform", {
    hint: "The first start's key can do it",
  });
}

function viewOf(row: ApiKeyRow): ApiKey {
  return {
    id: row.id,
    team_id: row.team_id,
    name: row.name,
    key_prefix: row.key_prefix,
    scopes: [...scopesOfKey(row.scopes)],
    ...(row.created_by === null ? {} : { created_by: row.created_by }),
    ...(row.creator_email === null ? {} : { creator_email: row.creator_email }),
    created_at: row.created_at,
    ...(row.expires_at === null ? {} : { expires_at: row.expires_at }),
    ...(row.last_used_at === null ? {} : { last_used: row.last_used_at }),
  };
}
