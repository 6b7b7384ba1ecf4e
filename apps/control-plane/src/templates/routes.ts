/** /v1/templates */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { NEXT_CURSOR_HEADER, PageQuery, Template } from "@wrenn/api-schema";
import { callerOf } from "../auth/authenticate.ts";
import { cutPage, decodeCursor } from "../http/cursor.ts";
import type { Services } from "../services.ts";
import type { TemplateRow } from "./template-store.ts";

export const templateRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  app.get(
    "/templates",
    { schema: { querystring: PageQuery, response: { 200: Type.Array(Template) } } },
    async (request, reply) => {
      const { limit, cursor } = request.query;
      const rows = await services.templates.page(callerOf(request).teamId, {
        limit: limit + 1,
        ...(cursor === undefined ? {} : { after: decodeCursor(cursor) }),
      });
      const { page, next } = cutPage(rows, limit);
      if (next !== undefined) reply.header(NEXT_CURSOR_HEADER, next);
      return page.map(viewOf);
    },
  );
};

const TYPES = { builtin: "base", snapshot: "snapshot", recipe: "build" } as const satisfies Record<
  TemplateRow["kind"],
  Template["type"]
>;

function viewOf(row: TemplateRow): Template {
  return {
    id: row.id,
    name: row.name,
    type: TYPES[row.kind],
    build_id: row.build_id,
    vcpus: row.vcpus,
    memory_mb: row.memory_mib,
    disk_mb: row.disk_mib,
    size_bytes: row.size_bytes,
    created_at: row.created_at,
  };
}
