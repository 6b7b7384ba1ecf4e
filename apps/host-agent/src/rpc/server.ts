/**
 * The agent's one listener, a Unix socket that only root can open: Connect RPC and byte streams behind
 * one token. Long streams have no deadline; every request must authenticate.
 */
import { createHash, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { chmod } from "node:fs/promises";
import { createServer, type Server } from "node:http";
import { connect } from "node:net";
import type { ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { Logger } from "pino";
import { remove } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { hostagent } from "@wrenn/protocol";
import type { Metrics } from "../metrics/metrics.ts";
import { withRequest } from "../request-context.ts";
import type { SandboxManager } from "../sandbox/manager.ts";
import { handleByteStream, sendError } from "./byte-streams.ts";
import { fileService } from "./file-service.ts";
import type { HostService } from "./host-service.ts";
import { handleReportRequest } from "./reports.ts";
import { processService } from "./process-service.ts";
import { sandboxService } from "./sandbox-service.ts";
import { templateService } from "./template-service.ts";

export interface RpcServerOptions {
  socketPath: string;
  token: string;
  manager: SandboxManager;
  host: HostService;
  metrics: Metrics;
  log: Logger;
}

/** Listens; a socket that nobody answers on is a leftover and replaced. */
export async function startRpcServer(options: RpcServerOptions): Promise<Server> {
  const { socketPath, manager, host, metrics, log } = options;
  const routes = (router: ConnectRouter): unknown =>
    router.service(hostagent.HostAgentService, {
      ...host,
      ...sandboxService(manager),
      ...templateService(manager),
      ...processService(manager),
      ...fileService(manager),
    });
  const handleRpc = connectNodeAdapter({ routes, readMaxBytes: 8 * 1024 * 1024 });
  const expected = digest(`Bearer ${options.token}`);
  const server = createServer({ requestTimeout: 0, keepAliveTimeout: 60_000 }, (request, response) => {
    if (!timingSafeEqual(digest(request.headers.authorization ?? ""), expected)) {
      sendError(response, new WrennError("unauthorized", "The agent token is missing or wrong"));
      return;
    }
    const handlePlain = async (): Promise<boolean> =>
      (await handleByteStream(manager, request, response)) ||
      (await handleReportRequest(manager, metrics, request, response));
    void withRequest(request, async () => {
      const closed = new Promise((resolve) => response.once("close", resolve));
      try {
        if (!(await handlePlain())) handleRpc(request, response);
      } catch (error) {
        log.error({ operation: "rpc", err: error });
        sendError(response, error);
      }
      await closed;
    });
  });
  await removeStaleSocket(socketPath);
  server.listen(socketPath);
  await once(server, "listening");
  await chmod(socketPath, 0o600);
  return server;
}

const digest = (text: string): Buffer => createHash("sha256").update(text).digest();

async function removeStaleSocket(path: string): Promise<void> {
  const socket = connect({ path });
  const answered = await once(socket, "connect").then(
    () => true,
    () => false,
  );
  socket.destroy();
  if (answered)
    throw new WrennError("port_in_use", `Cannot listen on ${path}: another host agent does`, {
      hint: "Stop it first: ./wrenn down",
    });
  await remove(path, "rpc.socket");
}
