/** POST /v1/tickets: a short-lived, one-use stand-in for the caller's credentials, for a WebSocket. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Ticket } from "@wrenn/api-schema";
import { callerOf } from "../auth/authenticate.ts";
import type { Services } from "../services.ts";

export const ticketRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  app.post("/tickets", { schema: { response: { 201: Ticket } } }, async (request, reply) => {
    return reply
      .code(201)
      .header("cache-control", "no-store")
      .send(await services.tickets.issue(callerOf(request)));
  });
};
