/**
 * /v1/sandboxes/{id}/files: contents of files, streamed through to the guest or from it. Nothing is
 * buffered and there is no limit of size. What fails before the first byte is a proper error; what fails
 * later breaks the connection, so that half a file never looks like a whole one. An upload that fails
 * leaves the file that was there as it was.
 */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { FastifyReply, FastifyRequest } from "fastify";
import { FileQuery, FileWritten, ReadFileRequest, SandboxParams, UploadQuery } from "@wrenn/api-schema";
import { goneSignal } from "../http/gone.ts";
import { findSandbox, requireRunning } from "../sandboxes/find.ts";
import type { Services } from "../services.ts";
import { receiveForm } from "./multipart-upload.ts";
import { bodyOf } from "./upload-body.ts";

/** Headers of a download that are passed on, both ways. */
const REQUEST_HEADERS = ["range", "if-range"] as const;
const RESPONSE_HEADERS = ["content-length", "content-range", "accept-ranges", "last-modified", "etag"] as const;
/** A cleanup does not end with its request. */
const CLEANUP_TIMEOUT_MS = 10_000;

export const fileRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const { agent, sandboxes } = services;

  async function download(request: FastifyRequest, reply: FastifyReply, { path, user }: FileQuery) {
    const row = await findSandbox(sandboxes, request);
    requireRunning("read a file of", row);
    const file = await agent.readFile(
      { sandboxId: row.id, incarnation: row.incarnation, path, user },
      pick(request.headers, REQUEST_HEADERS),
      { requestId: request.id, signal: goneSignal(reply) },
    );
    return reply
      .code(file.status)
      .headers(pick(file.headers, RESPONSE_HEADERS))
      .type("application/octet-stream")
      .send(file.body);
  }

  app.get(
    "/sandboxes/:id/files",
    { schema: { params: SandboxParams, querystring: FileQuery }, exposeHeadRoute: false },
    async (request, reply) => await download(request, reply, request.query),
  );

  // for clients that cannot put a path into a URL; the second name is the one of before
  for (const url of ["/sandboxes/:id/files/read", "/sandboxes/:id/files/stream/read"]) {
    app.post(
      url,
      { schema: { params: SandboxParams, body: ReadFileRequest } },
      async (request, reply) => await download(request, reply, request.body),
    );
  }

  await app.register(async (uploads) => {
    // whatever the content type says, the body is a file
    uploads.removeAllContentTypeParsers();
    uploads.addContentTypeParser("*", (_request, body, done) => done(null, body));
    const typed = uploads as unknown as typeof app;

    typed.put(
      "/sandboxes/:id/files",
      {
        schema: { params: SandboxParams, querystring: FileQuery, response: { 200: FileWritten } },
        bodyLimit: Number.MAX_SAFE_INTEGER,
      },
      async (request) => {
        const row = await findSandbox(sandboxes, request);
        requireRunning("write a file of", row);
        const upload = bodyOf(request);
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

    for (const url of ["/sandboxes/:id/files/write", "/sandboxes/:id/files/stream/write"]) {
      typed.post(
        url,
        { schema: { params: SandboxParams, querystring: UploadQuery }, bodyLimit: Number.MAX_SAFE_INTEGER },
        async (request, reply) => {
          const row = await findSandbox(sandboxes, request);
          requireRunning("write a file of", row);
          const { user } = request.query;
          const at = (path: string) => ({ sandboxId: row.id, incarnation: row.incarnation, path, user });
          await receiveForm(request, request.query.path, {
            write: async (path, body) =>
              await agent.writeFile(at(path), { "content-type": "application/octet-stream" }, body, {
                requestId: request.id,
              }),
            move: async (temporary, path) => {
              await agent.moveFile(at(temporary), path, { requestId: request.id });
            },
            remove: async (temporary) => {
              await agent.removeFile(at(temporary), { signal: AbortSignal.timeout(CLEANUP_TIMEOUT_MS) });
            },
          });
          return reply.code(204).send();
        },
      );
    }
  });
};

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
