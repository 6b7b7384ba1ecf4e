/** A host's record of an operation as clients see it. */
import type { Operation } from "@wrenn/api-schema";
import type { AgentOperation } from "../agent/agent-client.ts";

export function operationViewOf({ error, ...record }: AgentOperation): Operation {
  return {
    operation: record.operation,
    incarnation: record.incarnation,
    started_at: record.startedAt,
    duration_ms: record.durationMs,
    stages: record.stages.map(({ name, startMs, durationMs, bytes, pages }) => ({
      name,
      start_ms: startMs,
      duration_ms: durationMs,
      bytes,
      ...(pages === undefined ? {} : { pages }),
    })),
    ...(error === undefined ? {} : { error: { code: error.code, message: messageOf(error) } }),
  };
}

/** Whatever a defect says of itself is for the host's log, not for a client. */
function messageOf({ code, message }: { code: string; message: string }): string {
  return code === "internal" ? "A defect of the platform; the log of the host has the details" : message;
}
