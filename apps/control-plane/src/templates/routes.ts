/** /v1/templates: list, get, delete. They are made as snapshots: `../snapshots/routes.ts`. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { ListTemplatesQuery, NEXT_CURSOR_HEADER, Template, TemplateParams } from "@wrenn/api-schema";
import { callerOf } from "../auth/authenticate.ts";
import { cutPage, decodeCursor } from "../http/cursor.ts";
import type { Services } from "../services.ts";
import { unknownTemplate } from "./unknown-template.ts";
import { KINDS, viewOf } from "./view.ts";

export const templateRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const { snapshots, templates } = services;

  app.get(
    "/templates",
    { schema: { querystring: ListTemplatesQuery, response: { 200: Type.Array(Template) } } },
    async (request, reply) => {
      const { limit, cursor, type } = request.query;
      const rows = await templates.page(callerOf(request).teamId, {
        limit: limit + 1,
        ...(cursor === undefined ? {} : { after: decodeCursor(cursor) }),
        ...(type === undefined ? {} : { kind: KINDS[type] }),
      });
      const { page, next } = cutPage(rows, limit);
      if (next !== undefined) reply.header(NEXT_CURSOR_HEADER, next);
      return page.map(viewOf);
    },
  );

  app.get("/templates/:name", { schema: { params: TemplateParams, response: { 200: Template } } }, async (request) => {
    const { teamId } = callerOf(request);
    const { name } = request.params;
    const row = await templates.find(teamId, name);
    if (row === undefined) throw await unknownTemplate(templates, teamId, name);
    return viewOf(row);
  });

  app.delete("/templates/:name", { schema: { params: TemplateParams } }, async (request, reply) => {
    await snapshots.remove(callerOf(request).teamId, request.params.name, request.id);
    return reply.code(204).send();
  });
};
