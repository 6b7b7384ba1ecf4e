/**
 * Bytes as plain HTTP streams: `GET` and `PUT /sandboxes/{id}/files?path=&user=&incarnation=` for the
 * contents of files, `GET /sandboxes/{id}/console?follow=`. An error before the first byte is the JSON
 * error body; later it cuts the connection, so that half a file never looks whole.
 */
import type { IncomingMessage, ServerResponse } from "node:http";
import { pipeline } from "node:stream/promises";
import { WrennError } from "@wrenn/errors";
import type { SandboxManager } from "../sandbox/manager.ts";
import { sendConsole } from "./console-stream.ts";
import { writeGuestFile } from "./file-upload.ts";
import { checkedId, incarnationOf } from "./messages.ts";

const ROUTE = /^\/sandboxes\/([^/]+)\/(files|console)$/;
const PASSED_REQUEST_HEADERS = ["range", "if-range", "if-none-match", "if-modified-since"];
const PASSED_RESPONSE_HEADERS = [
  "content-type",
  "content-length",
  "content-range",
  "accept-ranges",
  "last-modified",
  "etag",
];

/** Handles the request when it is for bytes; false when it is for somebody else. */
export async function handleByteStream(
  manager: SandboxManager,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<boolean> {
  const url = new URL(request.url ?? "/", "http://agent");
  const [, name, what] = ROUTE.exec(url.pathname) ?? [];
  if (name === undefined) return false;
  try {
    const id = checkedId(decodeURIComponent(name));
    if (what === "console") await sendConsole(manager, id, url.searchParams.get("follow") === "true", response);
    else await transfer(manager, id, url.searchParams, request, response);
  } catch (error) {
    sendError(response, error);
  }
  return true;
}

async function transfer(
  manager: SandboxManager,
  id: string,
  parameters: URLSearchParams,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const gone = new AbortController();
  response.on("close", () => gone.abort(new WrennError("canceled", "The client went away")));
  const path = parameters.get("path");
  if (path === null) throw new WrennError("invalid_request", "Cannot use a file: the query has no path");
  using lease = manager.use(id, incarnationOf(BigInt(parameters.get("incarnation") ?? 0)));
  const query = { path, user: parameters.get("user") ?? "" };
  if (request.method === "GET") {
    const answer = await lease.agent.download(query, pick(request.headers, PASSED_REQUEST_HEADERS), gone.signal);
    response.writeHead(answer.statusCode, pick(answer.headers, PASSED_RESPONSE_HEADERS));
    await pipeline(answer.body, response);
  } else if (request.method === "PUT") {
    const written = await writeGuestFile(lease.agent, query, request, gone.signal);
    response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(written));
  } else {
    throw new WrennError("invalid_request", `Cannot ${request.method} a file: only GET and PUT`);
  }
}

export function sendError(response: ServerResponse, thrown: unknown): void {
  if (response.headersSent || response.destroyed) {
    response.destroy();
    return;
  }
  const error = WrennError.from(thrown);
  response
    .writeHead(error.status, { "content-type": "application/json", connection: "close" })
    .end(JSON.stringify(error.toBody()));
}

function pick(
  headers: Record<string, string | string[] | undefined>,
  names: readonly string[],
): Record<string, string> {
  return Object.fromEntries(
    names.flatMap((name) => (typeof headers[name] === "string" ? [[name, headers[name]]] : [])),
  );
}
