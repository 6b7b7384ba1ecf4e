/** /v1/templates: list, get, delete. They are made as snapshots: `../snapshots/routes.ts`. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { ListTemplatesQuery, Template, TemplateParams } from "@wrenn/api-schema";
import { callerOf } from "../auth/authenticate.ts";
import { answerPage } from "../http/page.ts";
import type { Services } from "../services.ts";
import { unknownTemplate } from "./unknown-template.ts";
import { KINDS, viewOf } from "./view.ts";

export const templateRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const { snapshots, templates } = services;

  app.get(
    "/templates",
    { schema: { querystring: ListTemplatesQuery, response: { 200: Type.Array(Template) } } },
    async (request, reply) => {
      const { teamId } = callerOf(request);
      const { type } = request.query;
      const filter = type === undefined ? {} : { kind: KINDS[type] };
      return await answerPage(reply, request.query, (page) => templates.page(teamId, { ...page, ...filter }), viewOf);
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
