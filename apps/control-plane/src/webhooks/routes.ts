/** /v1/webhooks: where a team wants its events. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import { Type } from "typebox";
import {
  CreatedWebhook,
  CreateWebhookRequest,
  PageQuery,
  UpdateWebhookRequest,
  Webhook,
  WebhookDelivery,
  WebhookParams,
} from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { callerOf } from "../auth/authenticate.ts";
import { newId } from "../database/ids.ts";
import type { WebhookRow } from "../database/tables.ts";
import { answerPage } from "../http/page.ts";
import type { Services } from "../services.ts";
import { mintSecret } from "./signature.ts";

const MAX_WEBHOOKS = 50;
const SHOWN_DELIVERIES = 100;

export const webhookRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const { destinations, webhooks } = services;

  app.post(
    "/webhooks",
    { schema: { body: CreateWebhookRequest, response: { 201: CreatedWebhook } } },
    async (request, reply) => {
      const { teamId } = callerOf(request);
      const { url, event_types } = request.body;
      destinations.check(url);
      if ((await webhooks.count(teamId)) >= MAX_WEBHOOKS)
        throw new WrennError("conflict", `Cannot add a webhook: the team has ${MAX_WEBHOOKS}`, {
          hint: "Delete one that is not needed",
        });
      const secret = mintSecret();
      const row = await webhooks.insert({ id: newId("hook_"), team_id: teamId, url, secret, event_types });
      return reply
        .code(201)
        .header("location", `/v1/webhooks/${row.id}`)
        .send({ ...viewOf(row), secret });
    },
  );

  app.get(
    "/webhooks",
    { schema: { querystring: PageQuery, response: { 200: Type.Array(Webhook) } } },
    async (request, reply) =>
      await answerPage(reply, request.query, (page) => webhooks.page(callerOf(request).teamId, page), viewOf),
  );

  app.get("/webhooks/:id", { schema: { params: WebhookParams, response: { 200: Webhook } } }, async (request) => {
    return viewOf(await find(request));
  });

  app.patch(
    "/webhooks/:id",
    { schema: { params: WebhookParams, body: UpdateWebhookRequest, response: { 200: Webhook } } },
    async (request) => {
      const { url } = request.body;
      if (url !== undefined) destinations.check(url);
      const row = await webhooks.update(callerOf(request).teamId, request.params.id, request.body);
      if (row === undefined) throw unknown(request.params.id);
      return viewOf(row);
    },
  );

  app.delete("/webhooks/:id", { schema: { params: WebhookParams } }, async (request, reply) => {
    if (!(await webhooks.remove(callerOf(request).teamId, request.params.id))) throw unknown(request.params.id);
    return reply.code(204).send();
  });

  app.get(
    "/webhooks/:id/deliveries",
    { schema: { params: WebhookParams, response: { 200: Type.Array(WebhookDelivery) } } },
    async (request) => await webhooks.deliveries((await find(request)).id, SHOWN_DELIVERIES),
  );

  async function find(request: FastifyRequest): Promise<WebhookRow> {
    const { id } = request.params as WebhookParams;
    const row = await webhooks.find(callerOf(request).teamId, id);
    if (row === undefined) throw unknown(id);
    return row;
  }
};

function unknown(id: string): WrennError {
  return new WrennError("not_found", `Cannot find webhook ${id}`, {
    hint: "GET /v1/webhooks lists those of your team",
  });
}

function viewOf({ id, url, event_types, enabled, created_at, updated_at }: WebhookRow): Webhook {
  return { id, url, event_types, enabled, created_at, updated_at };
}
