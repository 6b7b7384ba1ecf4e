/**
 * Builds the HTTP server, without listening: tests inject requests into it. The routes of a capability
 * are in its folder.
 */
import type { RequestListener, Server } from "node:http";
import type { Socket } from "node:net";
import websocket from "@fastify/websocket";
import { fastify, type FastifyBaseLogger, type FastifyInstance } from "fastify";
import { REQUEST_ID_HEADER } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { recordActions } from "./audit/record.ts";
import { auditRoutes } from "./audit/routes.ts";
import { classifyRoutes } from "./auth/access.ts";
import { apiKeyRoutes } from "./auth/api-key-routes.ts";
import { authenticateRequests } from "./auth/authenticate.ts";
import { authRoutes } from "./auth/routes.ts";
import type { Config } from "./config.ts";
import { eventRoutes } from "./events/routes.ts";
import { consoleRoutes } from "./console/routes.ts";
import { execRoutes } from "./exec/routes.ts";
import { MAX_FRAME_BYTES } from "./exec/exec-session.ts";
import { execStreamRoutes } from "./exec/stream-routes.ts";
import { fileEntryRoutes } from "./files/entry-routes.ts";
import { fileRoutes } from "./files/routes.ts";
import { tarRoutes } from "./files/tar-routes.ts";
import { fileWatchRoutes } from "./files/watch-routes.ts";
import { guideRoutes } from "./guide/routes.ts";
import { healthRoutes } from "./health/routes.ts";
import { refuseWhileClosing } from "./http/closing.ts";
import { answerErrors, sendError, toApiError } from "./http/errors.ts";
import { limitRate } from "./http/rate-limit.ts";
import { requestIdOf } from "./http/request-id.ts";
import { RequestLog } from "./http/request-log.ts";
import { addSecurityHeaders } from "./http/security-headers.ts";
import { createTlsServer } from "./http/tls.ts";
import { traceRequests } from "./http/trace-requests.ts";
import { compileValidator } from "./http/validation.ts";
import { measureRequests, metricsRoute } from "./metrics/routes.ts";
import { quotaRoutes } from "./quotas/routes.ts";
import { observationRoutes } from "./sandboxes/observation-routes.ts";
import { sandboxRoutes } from "./sandboxes/routes.ts";
import { OPERATIONS } from "./openapi/operations.ts";
import { documentRoutes } from "./openapi/registry.ts";
import { openapiRoutes } from "./openapi/routes.ts";
import type { Services } from "./services.ts";
import { snapshotRoutes } from "./snapshots/routes.ts";
import { invitationRoutes } from "./teams/invitation-routes.ts";
import { invitePage } from "./teams/invite-page.ts";
import { memberRoutes } from "./teams/member-routes.ts";
import { teamRoutes } from "./teams/routes.ts";
import { templateRoutes } from "./templates/routes.ts";
import { ticketRoutes } from "./tickets/routes.ts";
import { chooseProtocol } from "./tickets/ticket-store.ts";
import { webhookRoutes } from "./webhooks/routes.ts";

const BODY_LIMIT_BYTES = 1_048_576;
const HTTP_OPTIONS = { headersTimeout: 30_000 };

export interface AppOptions {
  services: Services;
  version: string;
  log: FastifyBaseLogger;
  config: Pick<Config, "trustedProxies" | "tls" | "rateLimitPerMinute" | "metricsToken">;
}

export async function buildApp({ services, version, log, config }: AppOptions): Promise<FastifyInstance> {
  const { tls, trustedProxies } = config;
  const app = fastify({
    loggerInstance: log,
    logController: new RequestLog(),
    genReqId: requestIdOf,
    trustProxy: trustedProxies.length > 0 ? trustedProxies : false,
    bodyLimit: BODY_LIMIT_BYTES,
    // an upload or a stream may take as long as it likes; headers may not
    requestTimeout: 0,
    ...(tls === undefined
      ? { http: HTTP_OPTIONS }
      : {
          serverFactory: (listener: RequestListener) =>
            createTlsServer(tls, { ...HTTP_OPTIONS, requestTimeout: 0 }, listener) as unknown as Server,
        }),
    return503OnClosing: false,
    clientErrorHandler: answerMalformed,
    frameworkErrors: (error, request, reply) => sendError(error, request, reply),
  });
  app.setValidatorCompiler(compileValidator as Parameters<typeof app.setValidatorCompiler>[0]);
  acceptEmptyJson(app);
  answerErrors(app);
  await app.register(websocket, {
    options: { maxPayload: MAX_FRAME_BYTES, handleProtocols: chooseProtocol },
    preClose: (done) => done(), // sessions say goodbye themselves
    errorHandler: (error, socket, request) => {
      request.log.info({ err: error }, "WebSocket failed");
      socket.terminate();
    },
  });
  traceRequests(app);
  measureRequests(app, services.metrics);
  addSecurityHeaders(app, { tls: tls !== undefined });
  refuseWhileClosing(app);
  app.addHook("onRequest", async (request, reply) => {
    reply.header(REQUEST_ID_HEADER, request.id);
  });

  classifyRoutes(app);
  const routes = documentRoutes(app, OPERATIONS);
  await app.register(openapiRoutes, { routes, version });
  await app.register(consoleRoutes);
  await app.register(guideRoutes);
  await app.register(healthRoutes, { services, version });
  await app.register(invitePage);
  metricsRoute(app, services.metrics, config.metricsToken);
  await app.register(
    async (v1) => {
      authenticateRequests(v1, services.authenticator);
      limitRate(v1, {
        perMinute: config.rateLimitPerMinute,
        onLimited: () => services.metrics.rateLimited.inc(),
      });
      recordActions(v1, services.audit);
      await v1.register(authRoutes, { services });
      await v1.register(apiKeyRoutes, { services });
      await v1.register(teamRoutes, { services });
      await v1.register(invitationRoutes, { services });
      await v1.register(memberRoutes, { services });
      await v1.register(quotaRoutes, { services });
      await v1.register(auditRoutes, { services });
      await v1.register(sandboxRoutes, { services });
      await v1.register(observationRoutes, { services });
      await v1.register(execRoutes, { services });
      await v1.register(execStreamRoutes, { services });
      await v1.register(fileRoutes, { services });
      await v1.register(fileEntryRoutes, { services });
      await v1.register(fileWatchRoutes, { services });
      await v1.register(tarRoutes, { services });
      await v1.register(templateRoutes, { services });
      await v1.register(snapshotRoutes, { services });
      await v1.register(eventRoutes, { services });
      await v1.register(webhookRoutes, { services });
      await v1.register(ticketRoutes, { services });
    },
    { prefix: "/v1" },
  );
  return app;
}

/** Some clients announce JSON and then send nothing, as for pause: that is no body. */
function acceptEmptyJson(app: FastifyInstance): void {
  const parse = app.getDefaultJsonParser("error", "error");
  app.removeContentTypeParser("application/json");
  app.addContentTypeParser("application/json", { parseAs: "string" }, (request, body: string, done) => {
    if (body.trim() === "") done(null, undefined);
    else void parse(request, body, done);
  });
}

/** What is not even HTTP gets an answer of the same shape, then the connection ends. */
function answerMalformed(error: Error & { code?: string }, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy();
    return;
  }
  const what = error.code === "HPE_HEADER_OVERFLOW" ? "its headers are too large" : "it is not HTTP/1.1";
  const code = error.code === "HPE_HEADER_OVERFLOW" ? "too_large" : "invalid_request";
  const answer = toApiError(new WrennError(code, `Cannot read the request: ${what}`));
  const body = JSON.stringify(answer.toBody(requestIdOf({ headers: {} })));
  socket.end(
    `HTTP/1.1 ${answer.status} Bad Request\r\nConnection: close\r\nContent-Type: application/json; charset=utf-8\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
