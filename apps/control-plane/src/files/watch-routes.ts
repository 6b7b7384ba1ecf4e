/** GET /v1/sandboxes/{id}/files/watch: changes of a directory over a WebSocket. Frames: packages/api-schema/src/file.ts. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { WebSocket } from "ws";
import { SandboxParams, WatchFilesQuery, type WatchFrame } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { toApiError } from "../http/errors.ts";
import { keepAlive } from "../http/websocket-keep-alive.ts";
import { findSandbox, requireRunning } from "../sandboxes/find.ts";
import type { Services } from "../services.ts";
import { changeOf } from "./entry-view.ts";

/** RFC 6455, 7.4.1. */
const CLOSE_GOING_AWAY = 1_001;
const CLOSE_ERROR = 1_011;
/** Bytes waiting for the client above which the guest is not read any further. */
const HIGH_WATER_BYTES = 262_144;

export const fileWatchRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const sockets = new Set<WebSocket>();

  app.route({
    method: "GET",
    url: "/sandboxes/:id/files/watch",
    exposeHeadRoute: false,
    schema: { params: SandboxParams, querystring: WatchFilesQuery },
    preHandler: async (request) => {
      const row = await findSandbox(services.sandboxes, request);
      requireRunning("watch the files of", row);
      request.sandbox = row;
    },
    handler: async () => {
      throw new WrennError("invalid_request", "Cannot stream over plain HTTP: this route is a WebSocket", {
        hint: "Connect with a WebSocket client",
      });
    },
    wsHandler: (socket, request) => {
      const row = request.sandbox;
      if (row === null) throw new TypeError("Cannot watch: the sandbox was not looked up");
      const { path, user, recursive } = request.query as WatchFilesQuery;
      const gone = new AbortController();
      sockets.add(socket);
      services.metrics.streams.inc({ kind: "watch" });
      keepAlive(socket);
      socket.once("close", () => {
        sockets.delete(socket);
        services.metrics.streams.dec({ kind: "watch" });
        gone.abort();
      });
      const changes = services.agent.watchFiles(
        { sandboxId: row.id, incarnation: row.incarnation, path, user },
        recursive,
        { requestId: request.id, signal: gone.signal },
      );
      void relay(socket, changes, gone.signal).catch((thrown: unknown) => {
        if (gone.signal.aborted) return;
        const error = toApiError(thrown);
        if (error.fault === "platform") request.log.error({ code: error.code, err: error }, "watch failed");
        const body = error.toBody(request.id).error;
        send(socket, { type: "error", data: body.message, error: body });
        socket.close(CLOSE_ERROR, error.code);
      });
    },
  });

  app.addHook("preClose", async () => {
    for (const socket of sockets) socket.close(CLOSE_GOING_AWAY);
  });
};

async function relay(
  socket: WebSocket,
  changes: ReturnType<Services["agent"]["watchFiles"]>,
  gone: AbortSignal,
): Promise<void> {
  for await (const { event } of changes) {
    if (event.case === "started") send(socket, { type: "start" });
    if (event.case !== "changed") continue;
    const type = changeOf(event.value.type);
    if (type === undefined) continue;
    send(socket, { type, name: event.value.name });
    if (socket.bufferedAmount >= HIGH_WATER_BYTES) await drained(socket, gone);
  }
  throw new WrennError("sandbox_unreachable", "Cannot go on watching: the guest ended the watch");
}

/** An empty message answers when everything before it is out. */
async function drained(socket: WebSocket, gone: AbortSignal): Promise<void> {
  if (gone.aborted) return;
  await new Promise<void>((resolve) => {
    gone.addEventListener("abort", () => resolve(), { once: true });
    socket.ping(undefined, undefined, () => resolve());
  });
}

function send(socket: WebSocket, frame: WatchFrame): void {
  if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(frame));
}
