/** A row as clients see it. */
import type { Sandbox } from "@wrenn/api-schema";
import type { SandboxRow } from "../database/tables.ts";

export function viewOf(row: SandboxRow): Sandbox {
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
