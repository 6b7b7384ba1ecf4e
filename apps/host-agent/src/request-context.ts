/**
 * The request that work is done for: its id, as the client of the API knows it, is in every log line
 * and goes along to the guest.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { IncomingMessage } from "node:http";
import { currentTraceparent, span } from "@wrenn/tracing";

interface RequestContext {
  requestId: string;
  /** W3C Trace Context, as it came. */
  traceparent: string | undefined;
}

const SANDBOX_ID = /sb[0-9a-z]{20}/;
const USABLE = /^[A-Za-z0-9._:-]{1,128}$/;
const storage = new AsyncLocalStorage<RequestContext>();

/** Runs `work` for `request`, as a span of its trace; without a usable id of its own it has none. */
export async function withRequest<T>(request: IncomingMessage, work: () => Promise<T>): Promise<T> {
  const { traceparent: given, "x-request-id": id } = request.headers;
  const traceparent = typeof given === "string" ? given : undefined;
  const requestId = typeof id === "string" && USABLE.test(id) ? id : undefined;
  const name = `${request.method} ${request.url?.split("?", 1)[0]?.replace(SANDBOX_ID, ":id")}`;
  const attributes = { "wrenn.request_id": requestId };
  return await span(name, { kind: "server", traceparent, attributes }, () =>
    requestId === undefined ? work() : storage.run({ requestId, traceparent }, work),
  );
}

/** Fields of a log line. */
export function logContext(): { requestId?: string } {
  const context = storage.getStore();
  return context === undefined ? {} : { requestId: context.requestId };
}

/** Headers of a call that is made for the request. */
export function traceHeaders(): Record<string, string> {
  const context = storage.getStore();
  if (context === undefined) return {};
  const { requestId } = context;
  const traceparent = currentTraceparent() ?? context.traceparent;
  return { "x-request-id": requestId, ...(traceparent === undefined ? {} : { traceparent }) };
}
