/** /v1/sandboxes/{id}/files/…: files and directories beside their contents. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import type { FastifyRequest } from "fastify";
import { Type } from "typebox";
import { FileEntry, FileQuery, ListFilesQuery, MoveFileRequest, SandboxParams } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { envdFilesystem } from "@wrenn/protocol";
import type { FileAddress } from "../agent/agent-client.ts";
import { findSandbox, requireRunning } from "../sandboxes/find.ts";
import type { Services } from "../services.ts";
import { entryViewOf } from "./entry-view.ts";

export const fileEntryRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const { agent, sandboxes } = services;

  async function address(request: FastifyRequest, { path, user }: FileQuery): Promise<FileAddress> {
    const row = await findSandbox(sandboxes, request);
    requireRunning("use the files of", row);
    return { sandboxId: row.id, incarnation: row.incarnation, path, user };
  }

  app.get(
    "/sandboxes/:id/files/stat",
    { schema: { params: SandboxParams, querystring: FileQuery, response: { 200: FileEntry } } },
    async (request) => {
      const { entry } = await agent.statFile(await address(request, request.query), { requestId: request.id });
      return entryViewOf(present(entry));
    },
  );

  app.get(
    "/sandboxes/:id/files/list",
    { schema: { params: SandboxParams, querystring: ListFilesQuery, response: { 200: Type.Array(FileEntry) } } },
    async (request) => {
      const { depth } = request.query;
      const { entries } = await agent.listFiles(await address(request, request.query), depth, {
        requestId: request.id,
      });
      return entries.map(entryViewOf);
    },
  );

  app.post(
    "/sandboxes/:id/files/mkdir",
    {
      schema: {
        params: SandboxParams,
        body: Type.Object(FileQuery.properties, { $id: "MakeDirectory", additionalProperties: false }),
        response: { 201: FileEntry },
      },
    },
    async (request, reply) => {
      const { entry } = await agent.makeDirectory(await address(request, request.body), { requestId: request.id });
      return reply.code(201).send(entryViewOf(present(entry)));
    },
  );

  app.post(
    "/sandboxes/:id/files/move",
    { schema: { params: SandboxParams, body: MoveFileRequest, response: { 200: FileEntry } } },
    async (request) => {
      const { source, destination, user } = request.body;
      const from = await address(request, { path: source, ...(user === undefined ? {} : { user }) });
      const { entry } = await agent.moveFile(from, destination, { requestId: request.id });
      return entryViewOf(present(entry));
    },
  );

  app.delete(
    "/sandboxes/:id/files",
    { schema: { params: SandboxParams, querystring: FileQuery } },
    async (request, reply) => {
      await agent.removeFile(await address(request, request.query), { requestId: request.id });
      return reply.code(204).send();
    },
  );
};

/** The answers of the agent always carry the entry; protobuf cannot say so. */
function present(entry: envdFilesystem.EntryInfo | undefined): envdFilesystem.EntryInfo {
  if (entry === undefined) throw new WrennError("internal", "Cannot read the answer of the guest: it has no entry");
  return entry;
}
