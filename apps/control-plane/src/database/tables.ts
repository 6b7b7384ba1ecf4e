/**
 * The tables that the control plane reads and writes, as kysely sees them. The truth is in
 * `migrations/`; docs/reference/database.md describes every table.
 */
import type { ColumnType, Generated, Insertable, JSONColumnType, Selectable } from "kysely";
import type { SandboxState } from "../sandboxes/state.ts";

/** RFC 3339, UTC, microseconds. */
type Timestamp = ColumnType<string, string | undefined, string>;
type NullableTimestamp = ColumnType<string | null, string | null | undefined, string | null>;

export interface Tables {
  users: UserTable;
  teams: TeamTable;
  team_members: TeamMemberTable;
  api_keys: ApiKeyTable;
  hosts: HostTable;
  templates: TemplateTable;
  template_builds: TemplateBuildTable;
  template_tags: TemplateTagTable;
  host_template_builds: HostTemplateBuildTable;
  sandboxes: SandboxTable;
}

interface UserTable {
  id: string;
  email: string;
  password_hash: string | null;
}

interface TeamTable {
  id: string;
  name: string;
  created_at: Timestamp;
}

interface TeamMemberTable {
  team_id: string;
  user_id: string;
  role: "owner" | "admin" | "member";
  is_default: Generated<boolean>;
}

interface ApiKeyTable {
  id: string;
  team_id: string;
  name: string;
  key_hash: Buffer;
  key_prefix: string;
  scopes: Generated<string[]>;
  created_by: string | null;
  created_at: Timestamp;
  expires_at: NullableTimestamp;
  last_used_at: NullableTimestamp;
}

interface HostTable {
  id: string;
  name: string;
  address: string;
  state: Generated<"online" | "draining" | "unreachable">;
  version: string | null;
  vmm: string | null;
  vmm_version: string | null;
  accelerator: string | null;
  vcpus: number | null;
  memory_mib: number | null;
  updated_at: Timestamp;
  last_seen_at: NullableTimestamp;
}

interface TemplateTable {
  id: string;
  team_id: string | null;
  name: string;
  created_at: Timestamp;
  updated_at: Timestamp;
  deleted_at: NullableTimestamp;
}

interface TemplateBuildTable {
  id: string;
  template_id: string;
  kind: "builtin" | "snapshot" | "recipe";
  state: "waiting" | "building" | "ready" | "failed";
  vcpus: number;
  memory_mib: number;
  disk_mib: number;
  size_bytes: Generated<number>;
  /** Of these, what other layers have too. */
  shared_bytes: Generated<number>;
  /** The sandbox that a snapshot was made of. */
  sandbox_id: string | null;
  reason: string | null;
  created_at: Timestamp;
  updated_at: Timestamp;
  finished_at: NullableTimestamp;
  /** No name means it any more; its hosts are to delete it. */
  deleted_at: NullableTimestamp;
}

interface TemplateTagTable {
  template_id: string;
  tag: string;
  build_id: string;
  updated_at: Timestamp;
}

interface HostTemplateBuildTable {
  host_id: string;
  build_id: string;
}

interface SandboxTable {
  id: string;
  team_id: string;
  host_id: string;
  template_build_id: string;
  template_name: string;
  forked_from: Generated<string | null>;
  state: SandboxState;
  incarnation: number;
  resumable: Generated<boolean>;
  reason: string | null;
  vcpus: number;
  memory_mib: number;
  disk_mib: number;
  idle_timeout_sec: number;
  max_lifetime_sec: number | null;
  end_at: NullableTimestamp;
  on_timeout: "destroy" | "pause";
  metadata: JSONColumnType<Record<string, string>>;
  access_token: string;
  created_by_key: string | null;
  created_at: Timestamp;
  started_at: NullableTimestamp;
  last_active_at: NullableTimestamp;
  updated_at: Timestamp;
  ended_at: NullableTimestamp;
}

/** A row of `sandboxes`. */
export type SandboxRow = Selectable<SandboxTable>;
export type NewSandboxRow = Insertable<SandboxTable>;
