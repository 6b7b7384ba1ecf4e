/** What people read, as plain HTTP: `GET /metrics` of the host, `GET /sandboxes/{id}/operations` of a sandbox. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Metrics } from "../metrics/metrics.ts";
import type { SandboxManager } from "../sandbox/manager.ts";
import { sendError } from "./byte-streams.ts";
import { checkedId } from "./messages.ts";

const ROUTE = /^\/sandboxes\/([^/]+)\/operations$/;

/** Handles the request when it is for a report; false when it is for somebody else. */
export async function handleReportRequest(
  manager: SandboxManager,
  metrics: Metrics,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const { pathname } = new URL(request.url ?? "/", "http://agent");
  const [, id] = ROUTE.exec(pathname) ?? [];
  if (request.method !== "GET" || (pathname !== "/metrics" && id === undefined)) return false;
  try {
    if (id === undefined) await sendMetrics(metrics, response);
    else {
      const operations = await manager.operations(checkedId(decodeURIComponent(id)));
      send(response, "application/json", JSON.stringify(operations));
    }
  } catch (error) {
    sendError(response, error);
  }
  return true;
}

/** Answers with the metrics of the host. */
export async function sendMetrics(metrics: Metrics, response: ServerResponse): Promise<void> {
  const { contentType, text } = await metrics.expose();
  send(response, contentType, text);
}

function send(response: ServerResponse, contentType: string, body: string | Buffer): void {
  response.writeHead(200, { "content-type": contentType, "content-length": Buffer.byteLength(body) }).end(body);
}
