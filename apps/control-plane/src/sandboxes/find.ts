/** The sandbox that a route is about. */
import type { FastifyRequest } from "fastify";
import type { SandboxParams } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { callerOf } from "../auth/authenticate.ts";
import type { SandboxRow } from "../database/tables.ts";
import { wrongState } from "./wrong-state.ts";
import type { SandboxStore } from "./sandbox-store.ts";
import type { ViewedRow } from "./view.ts";

/** @throws WrennError `not_found`, also for a sandbox of another team. */
export async function findSandbox(sandboxes: SandboxStore, request: FastifyRequest): Promise<SandboxRow> {
  const { id } = request.params as SandboxParams;
  return (await sandboxes.find(callerOf(request).teamId, id)) ?? unknownSandbox(id);
}

/** The same, to be shown. */
export async function findViewed(sandboxes: SandboxStore, request: FastifyRequest): Promise<ViewedRow> {
  const { id } = request.params as SandboxParams;
  return (await sandboxes.findViewed(callerOf(request).teamId, id)) ?? unknownSandbox(id);
}

function unknownSandbox(id: string): never {
  throw new WrennError("not_found", `Cannot find sandbox ${id}`, {
    hint: "GET /v1/sandboxes lists those of your team",
  });
}

/** @throws WrennError `invalid_state` */
export function requireRunning(verb: string, row: SandboxRow): void {
  if (row.state !== "running") throw wrongState(verb, row);
}
