/**
 * The schema of the whole platform. docs/reference/database.md describes every table.
 * SQL for PostgreSQL 15 and newer.
 */
import { sql, type Kysely } from "kysely";

/** A CHECK of an identifier: its prefix and 20 characters. */
const id = (prefix: string) => `text primary key check (id ~ '^${prefix}[0-9a-z]{20}$')`;

const statements = `
create table users (
  id ${id("usr_")},
  email text not null unique check (email = lower(email) and position('@' in email) > 1 and length(email) <= 320),
  password_hash text,
  session_epoch bigint not null default 1,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);

create table teams (
  id ${id("team_")},
  name text not null check (length(name) between 1 and 128),
  max_running_sandboxes integer check (max_running_sandboxes >= 0),
  max_vcpus integer check (max_vcpus >= 0),
  max_memory_mib bigint check (max_memory_mib >= 0),
  max_snapshot_bytes bigint check (max_snapshot_bytes >= 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index teams_page on teams (created_at desc, id);

create table team_members (
  team_id text not null references teams on delete cascade,
  user_id text not null references users on delete cascade,
  role text not null check (role in ('owner', 'admin', 'member')),
  is_default boolean not null default false,
  created_at timestamptz not null default now(),
  primary key (team_id, user_id)
);
create index team_members_user on team_members (user_id);
create unique index team_members_default on team_members (user_id) where is_default;

create table team_invitations (
  id ${id("inv_")},
  team_id text not null references teams on delete cascade,
  email text check (email = lower(email)),
  role text not null check (role in ('owner', 'admin', 'member')),
  token_hash bytea not null unique check (length(token_hash) = 32),
  created_by text references users on delete set null,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  accepted_by text references users on delete set null,
  accepted_at timestamptz
);
create index team_invitations_page on team_invitations (team_id, created_at desc, id);

create table api_keys (
  id ${id("key_")},
  team_id text not null references teams on delete cascade,
  name text not null check (length(name) between 1 and 128),
  key_hash bytea not null unique check (length(key_hash) = 32),
  key_prefix text not null,
  scopes text[] not null default '{}',
  created_by text references users on delete set null,
  created_at timestamptz not null default now(),
  expires_at timestamptz,
  last_used_at timestamptz
);
create index api_keys_page on api_keys (team_id, created_at desc, id);

create table hosts (
  id ${id("host_")},
  name text not null unique check (length(name) between 1 and 128),
  address text not null,
  state text not null default 'unreachable' check (state in ('online', 'draining', 'unreachable')),
  version text,
  vmm text,
  vmm_version text,
  accelerator text,
  vcpus integer check (vcpus > 0),
  memory_mib bigint check (memory_mib > 0),
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  last_seen_at timestamptz
);
create index hosts_page on hosts (created_at desc, id);

create table templates (
  id ${id("tpl_")},
  team_id text references teams on delete cascade,
  name text not null check (name ~ '^[a-z0-9][a-z0-9._-]{0,127}$'),
  created_by text references users on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deleted_at timestamptz
);
create unique index templates_name on templates (team_id, name) nulls not distinct where deleted_at is null;
create index templates_page on templates (team_id, created_at desc, id) where deleted_at is null;

create table template_builds (
  id ${id("bld_")},
  template_id text not null references templates on delete restrict,
  kind text not null check (kind in ('builtin', 'snapshot', 'recipe')),
  state text not null check (state in ('waiting', 'building', 'ready', 'failed')),
  vcpus integer not null check (vcpus > 0),
  memory_mib integer not null check (memory_mib > 0),
  disk_mib integer not null check (disk_mib > 0),
  size_bytes bigint not null default 0 check (size_bytes >= 0),
  recipe jsonb,
  reason text,
  created_by text references users on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  finished_at timestamptz,
  unique (template_id, id)
);
create index template_builds_page on template_builds (template_id, created_at desc, id);

create table template_tags (
  template_id text not null references templates on delete cascade,
  tag text not null check (tag ~ '^[a-z0-9_.-]{1,128}$'),
  build_id text not null,
  updated_at timestamptz not null default now(),
  primary key (template_id, tag),
  foreign key (template_id, build_id) references template_builds (template_id, id) on delete restrict
);
create index template_tags_build on template_tags (build_id);

create table host_template_builds (
  host_id text not null references hosts on delete cascade,
  build_id text not null references template_builds on delete cascade,
  created_at timestamptz not null default now(),
  primary key (host_id, build_id)
);
create index host_template_builds_build on host_template_builds (build_id);

create table sandboxes (
  id ${id("sb")},
  team_id text not null references teams on delete restrict,
  host_id text not null references hosts on delete restrict,
  template_build_id text not null references template_builds on delete restrict,
  template_name text not null,
  forked_from text references sandboxes on delete set null,
  state text not null check (state in ('creating', 'running', 'pausing', 'paused', 'resuming', 'destroying', 'gone', 'failed')),
  incarnation bigint not null check (incarnation > 0),
  resumable boolean not null default false,
  reason text,
  vcpus integer not null check (vcpus > 0),
  memory_mib integer not null check (memory_mib > 0),
  disk_mib integer not null check (disk_mib > 0),
  idle_timeout_sec integer not null check (idle_timeout_sec >= 0),
  max_lifetime_sec integer check (max_lifetime_sec > 0),
  end_at timestamptz,
  on_timeout text not null check (on_timeout in ('destroy', 'pause')),
  metadata jsonb not null default '{}' check (jsonb_typeof(metadata) = 'object'),
  access_token text not null,
  created_by_key text references api_keys on delete set null,
  created_at timestamptz not null default now(),
  started_at timestamptz,
  last_active_at timestamptz,
  updated_at timestamptz not null default now(),
  ended_at timestamptz,
  check (state <> 'gone' or ended_at is not null),
  check (state not in ('running', 'pausing', 'paused') or started_at is not null)
);
create index sandboxes_page on sandboxes (team_id, created_at desc, id);
create index sandboxes_page_alive on sandboxes (team_id, created_at desc, id) where state <> 'gone';
create index sandboxes_host_alive on sandboxes (host_id, id) where state <> 'gone';
create index sandboxes_build on sandboxes (template_build_id) where state <> 'gone';
create index sandboxes_forked_from on sandboxes (forked_from) where forked_from is not null;
create index sandboxes_key on sandboxes (created_by_key) where created_by_key is not null;
create index sandboxes_metadata on sandboxes using gin (metadata jsonb_path_ops);

create table layers (
  id ${id("bld_")},
  team_id text not null references teams on delete restrict,
  host_id text not null references hosts on delete restrict,
  sandbox_id text references sandboxes on delete set null,
  base_id text references layers on delete restrict,
  generation integer not null check (generation >= 0),
  compatibility_key text not null,
  size_bytes bigint not null check (size_bytes >= 0),
  created_at timestamptz not null default now(),
  deleted_at timestamptz
);
create index layers_sandbox on layers (sandbox_id, generation desc);
create index layers_base on layers (base_id) where base_id is not null;
create index layers_page on layers (team_id, created_at desc, id) where deleted_at is null;

create table snapshots (
  id ${id("snap_")},
  team_id text not null references teams on delete restrict,
  name text check (name ~ '^[a-z0-9][a-z0-9._-]{0,127}$'),
  sandbox_id text references sandboxes on delete set null,
  layer_id text references layers on delete restrict,
  template_build_id text references template_builds on delete restrict,
  state text not null check (state in ('creating', 'ready', 'failed')),
  vcpus integer not null check (vcpus > 0),
  memory_mib integer not null check (memory_mib > 0),
  disk_mib integer not null check (disk_mib > 0),
  size_bytes bigint not null default 0 check (size_bytes >= 0),
  reason text,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now(),
  deleted_at timestamptz
);
create unique index snapshots_name on snapshots (team_id, name) where deleted_at is null and name is not null;
create index snapshots_page on snapshots (team_id, created_at desc, id) where deleted_at is null;
create index snapshots_sandbox on snapshots (sandbox_id, created_at desc, id);
create index snapshots_layer on snapshots (layer_id);
create index snapshots_build on snapshots (template_build_id);

create table idempotency_keys (
  team_id text not null references teams on delete cascade,
  key text not null check (length(key) between 1 and 255),
  request_hash bytea not null check (length(request_hash) = 32),
  response_status integer,
  response_body jsonb,
  created_at timestamptz not null default now(),
  expires_at timestamptz not null,
  primary key (team_id, key)
);
create index idempotency_keys_expiry on idempotency_keys (expires_at);

create table audit_log (
  id bigint generated always as identity primary key,
  team_id text references teams on delete set null,
  user_id text references users on delete set null,
  api_key_id text references api_keys on delete set null,
  action text not null,
  target_id text,
  request_id text,
  address inet,
  details jsonb not null default '{}',
  created_at timestamptz not null default now()
);
create index audit_log_page on audit_log (team_id, created_at desc, id);
create index audit_log_user on audit_log (user_id);
create index audit_log_key on audit_log (api_key_id);

create table events (
  id bigint generated always as identity primary key,
  team_id text not null references teams on delete cascade,
  type text not null,
  sandbox_id text references sandboxes on delete cascade,
  data jsonb not null default '{}',
  created_at timestamptz not null default now()
);
create index events_page on events (team_id, id);
create index events_sandbox on events (sandbox_id, id);

create table webhooks (
  id ${id("hook_")},
  team_id text not null references teams on delete cascade,
  url text not null check (url ~ '^https?://'),
  secret text not null,
  event_types text[] not null default '{}',
  enabled boolean not null default true,
  created_by text references users on delete set null,
  created_at timestamptz not null default now(),
  updated_at timestamptz not null default now()
);
create index webhooks_page on webhooks (team_id, created_at desc, id);

create table webhook_deliveries (
  webhook_id text not null references webhooks on delete cascade,
  event_id bigint not null references events on delete cascade,
  attempts integer not null default 0,
  next_attempt_at timestamptz not null default now(),
  delivered_at timestamptz,
  failed_at timestamptz,
  last_error text,
  primary key (webhook_id, event_id)
);
create index webhook_deliveries_due on webhook_deliveries (next_attempt_at) where delivered_at is null and failed_at is null;
create index webhook_deliveries_event on webhook_deliveries (event_id);
`;

export async function up(database: Kysely<unknown>): Promise<void> {
  await sql.raw(statements).execute(database);
}
