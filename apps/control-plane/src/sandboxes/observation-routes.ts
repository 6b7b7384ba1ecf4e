/** What a sandbox does: its use of the machine, its console, its processes; and what was done to it. Looking is no activity. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { timestampDate } from "@bufbuild/protobuf/wkt";
import { Type } from "typebox";
import { GuestProcessInfo, LogsQuery, Operation, SandboxMetrics, SandboxParams } from "@wrenn/api-schema";
import { goneSignal } from "../http/gone.ts";
import { sendHeadersAtOnce } from "../http/headers-at-once.ts";
import type { Services } from "../services.ts";
import { findSandbox, requireRunning } from "./find.ts";
import { operationViewOf } from "./operation-view.ts";

export const observationRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const { agent, sandboxes } = services;

  app.get(
    "/sandboxes/:id/metrics",
    { schema: { params: SandboxParams, response: { 200: SandboxMetrics } } },
    async (request) => {
      const row = await findSandbox(sandboxes, request);
      requireRunning("measure", row);
      const metrics = await agent.getSandboxMetrics(row.id, row.incarnation, { requestId: request.id });
      return {
        time: (metrics.time === undefined ? new Date() : timestampDate(metrics.time)).toISOString(),
        cpu_count: metrics.cpuCount,
        cpu_used_pct: metrics.cpuUsedPct,
        memory_used_bytes: Number(metrics.memoryUsedBytes),
        memory_total_bytes: Number(metrics.memoryTotalBytes),
        memory_cache_bytes: Number(metrics.memoryCacheBytes),
        disk_used_bytes: Number(metrics.diskUsedBytes),
        disk_total_bytes: Number(metrics.diskTotalBytes),
      };
    },
  );

  app.get(
    "/sandboxes/:id/logs",
    { schema: { params: SandboxParams, querystring: LogsQuery }, exposeHeadRoute: false },
    async (request, reply) => {
      const row = await findSandbox(sandboxes, request);
      const console = await agent.readConsole(row.id, request.query.follow, {
        requestId: request.id,
        signal: goneSignal(reply),
      });
      sendHeadersAtOnce(reply);
      return reply
        .headers({ "cache-control": "no-store", "x-accel-buffering": "no" })
        .type("text/plain; charset=utf-8")
        .send(console);
    },
  );

  app.get(
    "/sandboxes/:id/operations",
    { schema: { params: SandboxParams, response: { 200: Type.Array(Operation) } } },
    async (request) => {
      const row = await findSandbox(sandboxes, request);
      if (row.state === "gone") return []; // its records went with it
      const records = await agent.listOperations(row.id, { requestId: request.id });
      return records.map((record) => operationViewOf(record));
    },
  );

  app.get(
    "/sandboxes/:id/processes",
    { schema: { params: SandboxParams, response: { 200: Type.Array(GuestProcessInfo) } } },
    async (request) => {
      const row = await findSandbox(sandboxes, request);
      requireRunning("list the processes of", row);
      const { processes } = await agent.listProcesses(
        { sandboxId: row.id, incarnation: BigInt(row.incarnation) },
        { requestId: request.id },
      );
      return processes.map(({ pid, cmd, args, cwd }) => ({ pid, cmd, args, cwd }));
    },
  );
};
