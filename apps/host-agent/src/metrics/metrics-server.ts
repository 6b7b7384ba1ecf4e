/** `GET /metrics` on a port of the loopback, for a Prometheus on the same machine. Guests cannot reach it. */
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { WrennError } from "@wrenn/errors";
import { sendError } from "../rpc/byte-streams.ts";
import { sendMetrics } from "../rpc/reports.ts";
import type { Metrics } from "./metrics.ts";

/** @throws WrennError `port_in_use` */
export async function startMetricsServer(metrics: Metrics, port: number): Promise<Server> {
  const server = createServer((request, response) => {
    if (request.method !== "GET" || request.url !== "/metrics") {
      sendError(response, new WrennError("not_found", "Only GET /metrics is here"));
      return;
    }
    sendMetrics(metrics, response).catch((error: unknown) => sendError(response, error));
  });
  server.listen(port, "127.0.0.1");
  try {
    await once(server, "listening");
  } catch (cause) {
    throw new WrennError("port_in_use", `Cannot serve metrics on port ${port}: another program listens there`, {
      cause,
      hint: "Choose another with WRENN_METRICS_PORT",
    });
  }
  return server;
}
