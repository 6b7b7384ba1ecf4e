/** GET /v1/teams/{team_id}/audit-log */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { AuditEntry, NEXT_CURSOR_HEADER, PageQuery, TeamParams } from "@wrenn/api-schema";
import { callerOf } from "../auth/authenticate.ts";
import { cutPage, decodeCursor } from "../http/cursor.ts";
import type { Services } from "../services.ts";
import type { AuditRow } from "./audit-store.ts";

export const auditRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  app.get(
    "/teams/:team_id/audit-log",
    { schema: { params: TeamParams, querystring: PageQuery, response: { 200: Type.Array(AuditEntry) } } },
    async (request, reply) => {
      const { limit, cursor } = request.query;
      const rows = await services.audit.page(callerOf(request).teamId, {
        limit: limit + 1,
        ...(cursor === undefined ? {} : { before: numberOf(decodeCursor(cursor).id) }),
      });
      const { page, next } = cutPage(rows.map(viewOf), limit);
      if (next !== undefined) reply.header(NEXT_CURSOR_HEADER, next);
      return [...page];
    },
  );
};

/** Rows are numbered; the API's ids have the shape of all others, in the order of the numbers. */
function idOf(number: number): string {
  return `aud_${String(number).padStart(20, "0")}`;
}

function numberOf(id: string): number {
  const digits = /^aud_(\d{20})$/.exec(id)?.[1];
  return digits === undefined ? 0 : Math.min(Number(digits), Number.MAX_SAFE_INTEGER);
}

function viewOf(row: AuditRow): AuditEntry {
  const { user_id: userId, api_key_id: keyId, actor_name: name } = row;
  return {
    id: idOf(row.id),
    action: row.action,
    actor: userId === null ? { type: "api_key", id: keyId ?? "", name } : { type: "user", id: userId, name },
    ...(row.target_id === null ? {} : { target_id: row.target_id }),
    request_id: row.request_id ?? "",
    ...(row.address === null ? {} : { address: row.address }),
    details: row.details,
    created_at: row.created_at,
  };
}
