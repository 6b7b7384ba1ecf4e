/** A row as clients see it. */
import type { Sandbox } from "@wrenn/api-schema";
import type { SandboxRow } from "../database/tables.ts";

/** The columns that clients see something of. */
export const VIEWED_COLUMNS = [
  "id",
  "state",
  "template_name",
  "vcpus",
  "memory_mib",
  "disk_mib",
  "idle_timeout_sec",
  "max_lifetime_sec",
  "end_at",
  "on_timeout",
  "metadata",
  "created_at",
  "started_at",
  "last_active_at",
  "updated_at",
  "reason",
  "health",
] as const satisfies (keyof SandboxRow)[];
export type ViewedRow = Pick<SandboxRow, (typeof VIEWED_COLUMNS)[number]>;

export function viewOf(row: ViewedRow): Sandbox {
  return {
    id: row.id,
    status: row.state,
    template: row.template_name,
    vcpus: row.vcpus,
    memory_mb: row.memory_mib,
    disk_mb: row.disk_mib,
    timeout_sec: row.idle_timeout_sec,
    ...(row.max_lifetime_sec === null ? {} : { max_lifetime_sec: row.max_lifetime_sec }),
    ...(row.end_at === null ? {} : { end_at: row.end_at }),
    on_timeout: row.on_timeout,
    metadata: row.metadata,
    created_at: row.created_at,
    ...(row.started_at === null ? {} : { started_at: row.started_at }),
    ...(row.last_active_at === null ? {} : { last_active_at: row.last_active_at }),
    last_updated: row.updated_at,
    ...(row.reason === null ? {} : { reason: row.reason }),
    ...(row.state === "running" ? { health: row.health } : {}),
  };
}
