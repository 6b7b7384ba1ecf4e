/**
 * Every error that leaves the API: one shape, one list of codes. Mistakes of the caller are logged at
 * `info`, defects at `error` with their cause, both with the request id that the caller sees.
 */
import type { FastifyError, FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import { WrennError } from "@wrenn/errors";

/** Where nobody knows when it gets better. */
const RETRY_AFTER_SEC = 2;
const JSON_TYPE = "application/json; charset=utf-8";

/** Answers every failure of `app` with `{"error":{code,message,hint?,request_id}}`. */
export function answerErrors(app: FastifyInstance): void {
  app.setErrorHandler((error: unknown, request, reply) => sendError(error, request, reply));
  app.setNotFoundHandler((request, reply) => {
    const path = request.url.split("?", 1)[0];
    sendError(
      new WrennError("not_found", `Cannot ${request.method} ${path}: there is no such route`, {
        hint: "docs/reference/api.md lists every route",
      }),
      request,
      reply,
    );
  });
}

/** Logs `error` and answers with it. */
export function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply): void {
  const mapped = toApiError(error);
  logError(mapped, request);
  // a stream that failed before its first byte has set the type of what it would have sent
  void reply.code(mapped.status).headers(headersOf(mapped)).type(JSON_TYPE).send(mapped.toBody(request.id));
}

export function logError(error: WrennError, request: FastifyRequest): void {
  if (error.fault === "user") request.log.info({ code: error.code, message: error.message }, "refused");
  else request.log.error({ code: error.code, err: error }, "failed");
}

/** Any error of a handler or of Fastify as the API tells it. */
export function toApiError(error: unknown): WrennError {
  const mapped = fromFastify(error) ?? WrennError.from(error);
  if (mapped.code !== "internal") return mapped;
  // whatever a defect says of itself is for the log, not for a client
  return new WrennError("internal", "Cannot complete the request: a defect of the platform", {
    cause: mapped.cause ?? mapped,
    hint: "Report it with the request id; the log of the control plane has the details",
  });
}

function headersOf(error: WrennError): Record<string, string> {
  switch (error.code) {
    case "unauthorized":
      return { "www-authenticate": 'ApiKey realm="wrenn", header="X-API-Key"' };
    case "rate_limited":
    case "quota_exceeded":
    case "unavailable":
    case "capacity":
      return { "retry-after": String(error.retryAfterSec ?? RETRY_AFTER_SEC) };
    default:
      return {};
  }
}

function fromFastify(error: unknown): WrennError | undefined {
  const { code, statusCode, message, validation } = error as Partial<FastifyError>;
  if (error instanceof WrennError || typeof statusCode !== "number" || statusCode >= 500) return undefined;
  if (validation !== undefined) return new WrennError("invalid_request", message ?? "", { cause: error });
  switch (code) {
    case "FST_ERR_CTP_BODY_TOO_LARGE":
      return new WrennError("too_large", "Cannot read the body: it is larger than this route takes", {
        cause: error,
        hint: "Send large data with PUT /v1/sandboxes/{id}/files, which has no limit",
      });
    case "FST_ERR_CTP_INVALID_MEDIA_TYPE":
      return new WrennError("invalid_request", "Cannot read the body: its content type is not supported", {
        cause: error,
        hint: "Send JSON with Content-Type: application/json",
      });
    default:
      return new WrennError("invalid_request", `Cannot read the request: ${message ?? "it is malformed"}`, {
        cause: error,
      });
  }
}
