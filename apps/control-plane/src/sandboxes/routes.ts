/** /v1/sandboxes: create, list, get, destroy, pause, resume, ping, timeout. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { FastifyReply } from "fastify";
import { Type } from "typebox";
import {
  CreateHeaders,
  CreateSandboxRequest,
  IDEMPOTENT_REPLAY_HEADER,
  ListSandboxesQuery,
  PauseQuery,
  ResumeQuery,
  Sandbox,
  SandboxParams,
  SetTimeoutRequest,
  type Sandbox as SandboxView,
} from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { callerOf } from "../auth/authenticate.ts";
import { newId } from "../database/ids.ts";
import { answerPage } from "../http/page.ts";
import { onceOnly, type Found } from "../idempotency/once-only.ts";
import type { Services } from "../services.ts";
import { unknownTemplate } from "../templates/unknown-template.ts";
import { findSandbox, findViewed, requireRunning } from "./find.ts";
import { checkEnvs, checkResources, withLockedResources } from "./limits.ts";
import type { SandboxStore } from "./sandbox-store.ts";
import type { SandboxState } from "./state.ts";
import { viewOf } from "./view.ts";

export const sandboxRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const { agent, hosts, lifecycle, sandboxes, templates } = services;

  app.post(
    "/sandboxes",
    { schema: { headers: CreateHeaders, body: CreateSandboxRequest, response: { 201: Sandbox } } },
    async (request, reply) => {
      const caller = callerOf(request);
      checkEnvs(request.body.envs);
      const template = await templates.resolve(caller.teamId, request.body.template);
      if (template === undefined) throw await unknownTemplate(templates, caller.teamId, request.body.template);
      const body = withLockedResources(request.body, template);
      const host = hosts.current();
      checkResources(body, template, host.size);
      const made = await onceOnly(services.idempotency, request, {
        mintId: () => newId("sb"),
        make: async (id) =>
          viewOf(
            await lifecycle.create({ id, caller, hostId: host.id, template, request: body, requestId: request.id }),
          ),
        find: async (id) => await findMade(sandboxes, caller.teamId, id),
        changed: (signal) => services.notifications.next(caller.teamId, signal),
      });
      if (made.replayed) reply.header(IDEMPOTENT_REPLAY_HEADER, "true");
      return reply.code(201).header("location", `/v1/sandboxes/${made.body.id}`).send(made.body);
    },
  );

  app.get(
    "/sandboxes",
    { schema: { querystring: ListSandboxesQuery, response: { 200: Type.Array(Sandbox) } } },
    async (request, reply) => {
      const { teamId } = callerOf(request);
      const { status, template, metadata } = request.query;
      const filter = {
        ...(status === undefined ? {} : { states: status.split(",") as SandboxState[] }),
        ...(template === undefined ? {} : { template }),
        ...(metadata === undefined ? {} : { metadata: Object.fromEntries(new URLSearchParams(metadata)) }),
      };
      return await answerPage(reply, request.query, (page) => sandboxes.page(teamId, { ...page, ...filter }), viewOf);
    },
  );

  app.get("/sandboxes/:id", { schema: { params: SandboxParams, response: { 200: Sandbox } } }, async (request) => {
    return viewOf(await findViewed(sandboxes, request));
  });

  app.delete("/sandboxes/:id", { schema: { params: SandboxParams } }, async (request, reply) => {
    await lifecycle.destroy(await findSandbox(sandboxes, request), request.id);
    return nothing(reply);
  });

  app.post(
    "/sandboxes/:id/pause",
    { schema: { params: SandboxParams, querystring: PauseQuery, response: { 200: Sandbox } } },
    async (request) => {
      return viewOf(await lifecycle.pause(await findSandbox(sandboxes, request), request.id, request.query));
    },
  );

  app.post(
    "/sandboxes/:id/resume",
    { schema: { params: SandboxParams, querystring: ResumeQuery, response: { 200: Sandbox } } },
    async (request) => {
      return viewOf(await lifecycle.resume(await findSandbox(sandboxes, request), request.id, request.query));
    },
  );

  app.post("/sandboxes/:id/ping", { schema: { params: SandboxParams } }, async (request, reply) => {
    const row = await findSandbox(sandboxes, request);
    requireRunning("ping", row);
    await agent.setDeadline({ id: row.id, incarnation: BigInt(row.incarnation) }, { requestId: request.id });
    await sandboxes.recordActivity(new Map([[row.id, new Date().toISOString()]]));
    return nothing(reply);
  });

  app.post(
    "/sandboxes/:id/timeout",
    { schema: { params: SandboxParams, body: SetTimeoutRequest, response: { 200: Sandbox } } },
    async (request) => {
      const row = await findSandbox(sandboxes, request);
      requireRunning("set the timeout of", row);
      const { timeout_sec, end_in_sec, only_extend } = request.body;
      if (timeout_sec === undefined && end_in_sec === undefined) {
        throw new WrennError("invalid_request", "Cannot set the timeout: the body names none", {
          hint: "Give timeout_sec, end_in_sec, or both",
        });
      }
      const changed = await sandboxes.setDeadlines(row.team_id, row.id, {
        idleTimeoutSec: timeout_sec,
        endInSec: end_in_sec,
        onlyExtend: only_extend,
      });
      if (changed === undefined) {
        throw new WrennError("conflict", `Cannot set the timeout of sandbox ${row.id}: it does not run any more`, {
          hint: "Look at its status",
        });
      }
      await services.resolver.sendDeadline(changed);
      return viewOf(changed);
    },
  );
};

/** What a create made: undefined while it is made, or when there is nothing (left) of it. */
async function findMade(sandboxes: SandboxStore, teamId: string, id: string): Promise<Found<SandboxView>> {
  const row = await sandboxes.find(teamId, id);
  if (row === undefined) return { state: "unknown" };
  if (row.state === "creating") return { state: "under way" };
  const failed = row.started_at === null && (row.state === "failed" || row.state === "gone");
  return failed ? { state: "failed" } : { state: "made", body: viewOf(row) };
}

function nothing(reply: FastifyReply): FastifyReply {
  return reply.code(204).send();
}
