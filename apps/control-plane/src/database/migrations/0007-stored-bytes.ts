/** What the layers of a sandbox take of its host's disk, for the team's quota. */
import { sql, type Kysely } from "kysely";

export async function up(database: Kysely<unknown>): Promise<void> {
  await sql
    .raw("alter table sandboxes add column stored_bytes bigint not null default 0 check (stored_bytes >= 0)")
    .execute(database);
}
