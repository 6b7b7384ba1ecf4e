/**
 * The tables that the control plane reads and writes, as kysely sees them. The truth is in
 * `migrations/`; docs/reference/database.md describes every table.
 */
import type { ColumnType, Generated, Insertable, JSONColumnType, Selectable } from "kysely";
import type { Event, EventType, Role, SandboxHealth } from "@wrenn/api-schema";
import type { SandboxState } from "../sandboxes/state.ts";

/** RFC 3339, UTC, microseconds. */
type Timestamp = ColumnType<string, string | undefined, string>;
type NullableNumber = ColumnType<number | null, number | null | undefined, number | null>;
type NullableTimestamp = ColumnType<string | null, string | null | undefined, string | null>;

export interface Tables {
  users: UserTable;
  teams: TeamTable;
  team_members: TeamMemberTable;
  team_invitations: TeamInvitationTable;
  api_keys: ApiKeyTable;
  revoked_sessions: RevokedSessionTable;
  audit_log: AuditLogTable;
  hosts: HostTable;
  templates: TemplateTable;
  template_builds: TemplateBuildTable;
  template_tags: TemplateTagTable;
  host_template_builds: HostTemplateBuildTable;
  sandboxes: SandboxTable;
  idempotency_keys: IdempotencyKeyTable;
  tickets: TicketTable;
  events: EventTable;
  webhooks: WebhookTable;
  webhook_deliveries: WebhookDeliveryTable;
}

interface UserTable {
  id: string;
  email: string;
  password_hash: string | null;
  session_epoch: Generated<number>;
  created_at: Timestamp;
  updated_at: Timestamp;
}

interface TeamTable {
  id: string;
  name: string;
  /** Null: what the configuration says. */
  max_running_sandboxes: NullableNumber;
  max_vcpus: NullableNumber;
  max_memory_mib: NullableNumber;
  max_snapshot_bytes: NullableNumber;
  created_at: Timestamp;
  updated_at: Timestamp;
  deleted_at: NullableTimestamp;
}

interface TeamMemberTable {
  team_id: string;
  user_id: string;
  role: Role;
  is_default: Generated<boolean>;
  created_at: Timestamp;
}

interface TeamInvitationTable {
  id: string;
  team_id: string;
  email: string | null;
  role: Role;
  token_hash: Buffer;
  created_by: string | null;
  created_at: Timestamp;
  expires_at: Timestamp;
  accepted_by: string | null;
  accepted_at: NullableTimestamp;
}

/** Ended before their time, each alone. */
interface RevokedSessionTable {
  id: string;
  expires_at: Timestamp;
}

interface AuditLogTable {
  id: Generated<number>;
  team_id: string | null;
  user_id: string | null;
  api_key_id: string | null;
  actor_name: string;
  action: string;
  target_id: string | null;
  request_id: string | null;
  address: string | null;
  details: JSONColumnType<Record<string, unknown>>;
  created_at: Timestamp;
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
  /** Allocated bytes of its layers, as its host said last. */
  stored_bytes: Generated<number>;
  reason: string | null;
  health: Generated<SandboxHealth>;
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

interface IdempotencyKeyTable {
  team_id: string;
  key: string;
  request_hash: Buffer;
  resource_id: string | null;
  response_status: number | null;
  response_body: JSONColumnType<object> | null;
  created_at: Timestamp;
  expires_at: ColumnType<string>;
}

interface TicketTable {
  hash: Buffer;
  caller: JSONColumnType<object>;
  expires_at: ColumnType<string>;
}

interface EventTable {
  id: Generated<number>;
  team_id: string;
  type: EventType;
  sandbox_id: string;
  data: JSONColumnType<Event["data"]>;
  created_at: Timestamp;
}

interface WebhookTable {
  id: string;
  team_id: string;
  url: string;
  secret: string;
  event_types: EventType[];
  enabled: Generated<boolean>;
  created_at: Timestamp;
  updated_at: Timestamp;
}

interface WebhookDeliveryTable {
  webhook_id: string;
  event_id: number;
  attempts: Generated<number>;
  next_attempt_at: Timestamp;
  delivered_at: NullableTimestamp;
  failed_at: NullableTimestamp;
  last_error: string | null;
}

/** A row of `sandboxes`. */
export type SandboxRow = Selectable<SandboxTable>;
export type NewSandboxRow = Insertable<SandboxTable>;
export type EventRow = Selectable<EventTable>;
export type WebhookRow = Selectable<WebhookTable>;
