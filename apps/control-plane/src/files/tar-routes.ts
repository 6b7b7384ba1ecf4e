/**
 * GET and PUT /v1/sandboxes/{id}/files/tar: a directory with all below it as a tar archive, made and
 * unpacked by the guest's own `tar`, so that modes, links and sparse files stay what they are. An upload
 * is unpacked only when all of it is in the guest.
 */
import { randomUUID } from "node:crypto";
import { Readable } from "node:stream";
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { FileQuery, FileWritten, SandboxParams } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { SandboxRow } from "../database/tables.ts";
import { GuestProcess } from "../exec/guest-process.ts";
import { OutputBuffer } from "../exec/output.ts";
import { whenGone } from "../http/gone.ts";
import { entryViewOf } from "./entry-view.ts";
import { findSandbox, requireRunning } from "../sandboxes/find.ts";
import type { Services } from "../services.ts";
import { bodyOf } from "./upload-body.ts";

const MAX_COMPLAINT_BYTES = 4_096;
const CLEANUP_TIMEOUT_MS = 10_000;
/** GNU tar: a file changed while it was read; the archive is whole. */
const CHANGED = 1;

export const tarRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const { agent, sandboxes } = services;

  // whatever the content type says, the body is an archive
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", (_request, body, done) => done(null, body));

  app.get(
    "/sandboxes/:id/files/tar",
    { schema: { params: SandboxParams, querystring: FileQuery }, exposeHeadRoute: false },
    async (request, reply) => {
      const row = await findSandbox(sandboxes, request);
      requireRunning("read files of", row);
      const { path, user } = request.query;
      await requireDirectory(row, request.query, request.id);
      const child = await runTar(row, ["-cf", "-", "-C", path, "."], user, request.id);
      whenGone(reply, () => void child.kill().catch(() => child.detach()));
      return reply.type("application/x-tar").send(Readable.from(archiveOf(child, path), { objectMode: false }));
    },
  );

  app.put(
    "/sandboxes/:id/files/tar",
    {
      schema: { params: SandboxParams, querystring: FileQuery, response: { 200: FileWritten } },
      bodyLimit: Number.MAX_SAFE_INTEGER,
    },
    async (request) => {
      const row = await findSandbox(sandboxes, request);
      requireRunning("write files of", row);
      const { path, user } = request.query;
      const at = { sandboxId: row.id, incarnation: row.incarnation, user };
      const archive = `/tmp/.archive-${randomUUID()}`;
      const upload = bodyOf(request);
      try {
        await agent.writeFile(
          { ...at, path: archive },
          { "content-type": "application/octet-stream", ...contentLength(request.headers["content-length"]) },
          upload.body,
          { requestId: request.id },
        );
        await agent.makeDirectory({ ...at, path }, { requestId: request.id }).catch(unlessThere);
        const child = await runTar(row, ["-xf", archive, "-C", path], user, request.id);
        await endOf(child, `unpack the archive in ${path}`);
        return { path, size: upload.size() };
      } finally {
        upload.release();
        await agent
          .removeFile({ ...at, path: archive }, { signal: AbortSignal.timeout(CLEANUP_TIMEOUT_MS) })
          .catch((error: unknown) => request.log.warn({ sandbox: row.id, err: error }, "cannot remove an archive"));
      }
    },
  );

  async function requireDirectory(row: SandboxRow, { path, user }: FileQuery, requestId: string): Promise<void> {
    const at = { sandboxId: row.id, incarnation: row.incarnation, path, user };
    const { entry } = await agent.statFile(at, { requestId });
    if (entry === undefined || entryViewOf(entry).type !== "file") return;
    throw new WrennError("invalid_request", `Cannot archive ${path}: it is a file`, {
      hint: "Read it with GET /v1/sandboxes/{id}/files",
    });
  }

  async function runTar(
    row: SandboxRow,
    args: string[],
    user: string | undefined,
    requestId: string,
  ): Promise<GuestProcess> {
    return await GuestProcess.start(agent, row, { cmd: "tar", args, user, stdin: false, timeoutMs: 0 }, requestId);
  }
};

/** The archive; an error at its end breaks the connection, for then it is not whole. */
async function* archiveOf(child: GuestProcess, path: string): AsyncGenerator<Uint8Array> {
  const complaints = new OutputBuffer(MAX_COMPLAINT_BYTES);
  for await (const event of child.events()) {
    if (event.type === "stdout") yield event.data;
    else if (event.type === "stderr") complaints.push(event.data);
    else if (event.type === "ended")
      throwUnlessDone(event.exitCode === CHANGED ? 0 : event.exitCode, complaints, `archive ${path}`);
  }
  child.detach();
}

async function endOf(child: GuestProcess, what: string): Promise<void> {
  const complaints = new OutputBuffer(MAX_COMPLAINT_BYTES);
  for await (const event of child.events()) {
    if (event.type === "stderr") complaints.push(event.data);
    else if (event.type === "ended") throwUnlessDone(event.exitCode, complaints, what);
  }
  child.detach();
}

function throwUnlessDone(exitCode: number, complaints: OutputBuffer, what: string): void {
  if (exitCode === 0) return;
  const why = complaints.bytes().toString("utf8").trim().split("\n").slice(0, 3).join("; ");
  throw new WrennError("command_failed", `Cannot ${what}: ${why === "" ? `tar ended with ${exitCode}` : why}`, {
    hint: "Check the archive, the path, and the user's permissions",
  });
}

function contentLength(header: string | undefined): Record<string, string> {
  return header === undefined ? {} : { "content-length": header };
}

function unlessThere(error: unknown): void {
  if (!(error instanceof WrennError) || error.code !== "already_exists") throw error;
}
