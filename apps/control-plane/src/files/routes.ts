/**
 * /v1/sandboxes/{id}/files: one file, streamed through to the guest or from it. Nothing is buffered and
 * there is no limit of size. What fails before the first byte is a proper error; what fails later
 * breaks the connection, so that half a file never looks like a whole one.
 */
import { PassThrough } from "node:stream";
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import { FileQuery, FileWritten, SandboxParams } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { findSandbox, requireRunning } from "../sandboxes/find.ts";
import type { Services } from "../services.ts";

/** Headers of a download that are passed on, both ways. */
const REQUEST_HEADERS = ["range", "if-range"] as const;
const RESPONSE_HEADERS = ["content-length", "content-range", "accept-ranges", "last-modified", "etag"] as const;

export const fileRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const { agent, sandboxes } = services;

  // whatever the content type says, the body is a file
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, body, done) => done(null, body));

  app.get(
    "/sandboxes/:id/files",
    { schema: { params: SandboxParams, querystring: FileQuery }, exposeHeadRoute: false },
    async (request, reply) => {
      const row = await findSandbox(sandboxes, request);
      requireRunning("read a file of", row);
      const gone = new AbortController();
      reply.raw.once("close", () => gone.abort());
      const file = await agent.readFile(
        { sandboxId: row.id, incarnation: row.incarnation, ...request.query },
        pick(request.headers, REQUEST_HEADERS),
        { requestId: request.id, signal: gone.signal },
      );
      return reply
        .code(file.status)
        .headers(pick(file.headers, RESPONSE_HEADERS))
        .type("application/octet-stream")
        .send(file.body);
    },
  );

  app.put(
    "/sandboxes/:id/files",
    {
      schema: { params: SandboxParams, querystring: FileQuery, response: { 200: FileWritten } },
      bodyLimit: Number.MAX_SAFE_INTEGER,
    },
    async (request) => {
      const row = await findSandbox(sandboxes, request);
      requireRunning("write a file of", row);
      const upload = uploadOf(request);
      try {
        await agent.writeFile(
          { sandboxId: row.id, incarnation: row.incarnation, ...request.query },
          { "content-type": "application/octet-stream", ...pick(request.headers, ["content-length"]) },
          upload.body,
          { requestId: request.id },
        );
        return { path: request.query.path, size: upload.size() };
      } finally {
        upload.release();
      }
    },
  );
};

/**
 * The request's body as a stream of its own: when the agent answers early with an error, its HTTP client
 * destroys what it was given, and the caller could not be answered if that were the connection.
 */
function uploadOf(request: FastifyRequest): Upload {
  const body = new PassThrough();
  const { raw } = request;
  let size = 0;
  const onData = (chunk: Buffer) => (size += chunk.length);
  const onClose = () => {
    if (!raw.complete) body.destroy(new WrennError("canceled", "Cannot write the file: the caller went away"));
  };
  body.on("error", () => undefined); // the call to the agent fails with the same error
  raw.on("data", onData);
  raw.once("close", onClose);
  raw.pipe(body);
  return {
    body,
    size: () => size,
    release() {
      raw.off("close", onClose);
      raw.off("data", onData);
      raw.unpipe(body);
      raw.resume();
      body.destroy();
    },
  };
}

interface Upload {
  body: PassThrough;
  /** Bytes that came. */
  size(): number;
  release(): void;
}

function pick<const K extends string>(
  headers: Readonly<Record<string, string | string[] | undefined>>,
  names: readonly K[],
): Record<string, string> {
  const picked: Record<string, string> = {};
  for (const name of names) {
    const value = headers[name];
    if (typeof value === "string") picked[name] = value;
  }
  return picked;
}
