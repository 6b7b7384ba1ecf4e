/** A template as clients see it. */
import type { Template } from "@wrenn/api-schema";
import type { ListedTemplateRow, TemplateRow } from "./template-store.ts";

const TYPES = { builtin: "base", snapshot: "snapshot", recipe: "build" } as const satisfies Record<
  TemplateRow["kind"],
  Template["type"]
>;

/** What the API calls each kind of build, the other way round. */
export const KINDS: Readonly<Record<Template["type"], TemplateRow["kind"]>> = {
  base: "builtin",
  snapshot: "snapshot",
  build: "recipe",
};

export function viewOf(row: ListedTemplateRow): Template {
  return {
    id: row.id,
    name: row.name,
    type: TYPES[row.kind],
    build_id: row.build_id,
    vcpus: row.vcpus,
    memory_mb: row.memory_mib,
    disk_mb: row.disk_mib,
    size_bytes: row.size_bytes,
    shared_bytes: row.shared_bytes,
    sandboxes: row.sandboxes,
    created_at: row.created_at,
  };
}
