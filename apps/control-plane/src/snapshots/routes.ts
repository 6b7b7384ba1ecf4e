/** /v1/snapshots: named templates made of sandboxes; and the forks of a sandbox. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import {
  CreateSnapshotQuery,
  CreateSnapshotRequest,
  ForkSandboxRequest,
  ListTemplatesQuery,
  Sandbox,
  SandboxParams,
  SnapshotCheck,
  Template,
  TemplateParams,
} from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { callerOf } from "../auth/authenticate.ts";
import { answerPage } from "../http/page.ts";
import { findSandbox } from "../sandboxes/find.ts";
import { viewOf as sandboxView } from "../sandboxes/view.ts";
import type { Services } from "../services.ts";
import { KINDS, viewOf } from "../templates/view.ts";

export const snapshotRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const { lifecycle, sandboxes, snapshots, templates } = services;

  app.post(
    "/snapshots",
    { schema: { body: CreateSnapshotRequest, querystring: CreateSnapshotQuery, response: { 201: Template } } },
    async (request, reply) => {
      const { sandbox_id: id, name } = request.body;
      const row = await sandboxes.find(callerOf(request).teamId, id);
      if (row === undefined) {
        throw new WrennError("not_found", `Cannot find sandbox ${id}`, {
          hint: "GET /v1/sandboxes lists those of your team",
        });
      }
      const template = await snapshots.create(row, name, request.query.overwrite, request.id);
      return reply.code(201).header("location", `/v1/templates/${template.name}`).send(viewOf(template));
    },
  );

  app.get(
    "/snapshots",
    { schema: { querystring: ListTemplatesQuery, response: { 200: Type.Array(Template) } } },
    async (request, reply) => {
      const { teamId } = callerOf(request);
      const kind = KINDS[request.query.type ?? "snapshot"];
      return await answerPage(reply, request.query, (page) => templates.page(teamId, { ...page, kind }), viewOf);
    },
  );

  app.delete("/snapshots/:name", { schema: { params: TemplateParams } }, async (request, reply) => {
    await snapshots.remove(callerOf(request).teamId, request.params.name, request.id);
    return reply.code(204).send();
  });

  app.post(
    "/snapshots/:name/verify",
    { schema: { params: TemplateParams, response: { 200: SnapshotCheck } } },
    async (request) => {
      const { teamId } = callerOf(request);
      const { name } = request.params;
      const template = await templates.find(teamId, name);
      if (template?.kind !== "snapshot") {
        throw new WrennError("not_found", `Cannot find a snapshot ${JSON.stringify(name)}`, {
          hint: "GET /v1/snapshots lists those of your team",
        });
      }
      return await snapshots.verify(template, request.id);
    },
  );

  app.post(
    "/sandboxes/:id/fork",
    { schema: { params: SandboxParams, body: ForkSandboxRequest, response: { 201: Type.Array(Sandbox) } } },
    async (request, reply) => {
      const row = await findSandbox(sandboxes, request);
      const children = await lifecycle.fork({
        source: row,
        caller: callerOf(request),
        request: request.body,
        requestId: request.id,
      });
      return reply.code(201).send(children.map(sandboxView));
    },
  );
};
