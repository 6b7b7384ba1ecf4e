/**
 * The request that work is done for: its id, as the client of the API knows it, is in every log line
 * and goes along to the guest.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import type { IncomingMessage } from "node:http";

interface RequestContext {
  requestId: string;
  /** W3C Trace Context, as it came. */
  traceparent: string | undefined;
}

const USABLE = /^[A-Za-z0-9._:-]{1,128}$/;
const storage = new AsyncLocalStorage<RequestContext>();

/** Runs `work` for `request`; without a usable id of its own it has none. */
export function withRequest<T>(request: IncomingMessage, work: () => T): T {
  const requestId = request.headers["x-request-id"];
  if (typeof requestId !== "string" || !USABLE.test(requestId)) return work();
  const { traceparent } = request.headers;
  return storage.run({ requestId, traceparent: typeof traceparent === "string" ? traceparent : undefined }, work);
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
  const { requestId, traceparent } = context;
  return { "x-request-id": requestId, ...(traceparent === undefined ? {} : { traceparent }) };
}
