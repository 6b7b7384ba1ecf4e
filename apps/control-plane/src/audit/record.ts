/**
 * Writes the audit log: every success of a route whose access names an action, before it is answered.
 * What was done stays done when the entry cannot be written; the control plane's own log then has it.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from "fastify";
import type { Actor } from "../auth/caller.ts";
import type { AuditStore, NewAuditEntry } from "./audit-store.ts";

/** Whose log an entry is in, and who did it. */
interface AuditedAs {
  teamId: string;
  actor: Actor;
}

interface AuditNote {
  by?: AuditedAs;
  details?: Record<string, unknown>;
}

declare module "fastify" {
  interface FastifyRequest {
    auditNote: AuditNote | null;
  }
}

export function recordActions(app: FastifyInstance, audit: AuditStore): void {
  app.decorateRequest("auditNote", null);
  app.addHook("onSend", async (request, reply, payload) => {
    const entry = entryOf(request, reply);
    if (entry !== undefined) {
      await audit.add(entry).catch((error: unknown) => {
        request.log.error({ entry, err: error }, "cannot write the audit log");
      });
    }
    return payload;
  });
}

/** For requests that showed no credentials, or that are about another team than their caller's. */
export function auditAs(request: FastifyRequest, by: AuditedAs): void {
  request.auditNote = { ...request.auditNote, by };
}

/** What the entry of this request is to tell beside what was done to what; no secrets. */
export function auditDetails(request: FastifyRequest, details: Record<string, unknown>): void {
  request.auditNote = { ...request.auditNote, details };
}

function entryOf(request: FastifyRequest, reply: FastifyReply): NewAuditEntry | undefined {
  const action = request.routeOptions.config.access?.audit;
  const by = request.auditNote?.by ?? request.caller;
  if (action === undefined || by === null || by === undefined || reply.statusCode >= 400) return undefined;
  return {
    teamId: by.teamId,
    actor: by.actor,
    action,
    targetId: targetOf(request, reply),
    requestId: request.id,
    address: request.ip,
    details: request.auditNote?.details ?? {},
  };
}

/** What was made, else the last thing that the path names. */
function targetOf(request: FastifyRequest, reply: FastifyReply): string | null {
  const location = reply.getHeader("location");
  if (typeof location === "string") return location.slice(location.lastIndexOf("/") + 1);
  return Object.values(request.params as Record<string, string>).at(-1) ?? null;
}
