/** Template builds that were made of sandboxes: where they came from, what they share, and their end. */
import { sql, type Kysely } from "kysely";

const statements = `
alter table template_builds
  add column sandbox_id text references sandboxes on delete set null,
  add column shared_bytes bigint not null default 0 check (shared_bytes >= 0),
  add column deleted_at timestamptz;
create index template_builds_sandbox on template_builds (sandbox_id) where sandbox_id is not null;
create index template_builds_deleted on template_builds (deleted_at) where deleted_at is not null;
create index template_builds_unfinished on template_builds (created_at) where state in ('waiting', 'building');
`;

export async function up(database: Kysely<unknown>): Promise<void> {
  await sql.raw(statements).execute(database);
}
