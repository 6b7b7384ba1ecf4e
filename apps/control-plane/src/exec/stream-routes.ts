/**
 * GET /v1/sandboxes/{id}/exec/stream: a process over a WebSocket. The key and the sandbox are checked
 * before the upgrade, so what is wrong with them is an HTTP answer.
 */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { SandboxParams } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { SandboxRow } from "../database/tables.ts";
import { findSandbox, requireRunning } from "../sandboxes/find.ts";
import type { Services } from "../services.ts";
import { ExecSession } from "./exec-session.ts";

export const execStreamRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const sessions = new Set<ExecSession>();
  app.decorateRequest("sandbox", null);

  app.route({
    method: "GET",
    url: "/sandboxes/:id/exec/stream",
    exposeHeadRoute: false,
    schema: { params: SandboxParams },
    preHandler: async (request) => {
      const row = await findSandbox(services.sandboxes, request);
      requireRunning("run a command in", row);
      request.sandbox = row;
    },
    handler: async () => {
      throw new WrennError("invalid_request", "Cannot stream over plain HTTP: this route is a WebSocket", {
        hint: "Connect with a WebSocket client, or POST to exec",
      });
    },
    wsHandler: (socket, request) => {
      if (request.sandbox === null) throw new TypeError("Cannot stream: the sandbox was not looked up");
      const session = new ExecSession({
        socket,
        agent: services.agent,
        row: request.sandbox,
        requestId: request.id,
        log: request.log,
      });
      sessions.add(session);
      services.metrics.streams.inc({ kind: "exec" });
      void session.finished.finally(() => {
        sessions.delete(session);
        services.metrics.streams.dec({ kind: "exec" });
      });
    },
  });

  // before the server waits for its connections to end
  app.addHook("preClose", async () => {
    await Promise.all([...sessions].map((session) => session.shutDown()));
  });
};

declare module "fastify" {
  interface FastifyRequest {
    sandbox: SandboxRow | null;
  }
}
