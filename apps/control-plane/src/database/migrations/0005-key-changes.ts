/** Tells control planes when keys end or change, for they remember keys for a moment. */
import { sql, type Kysely } from "kysely";

const statements = `
create function notify_key_change() returns trigger language plpgsql as $$
begin
  perform pg_notify('wrenn_keys', '');
  return null;
end
$$;

create trigger api_keys_changed after delete or update of team_id, name, key_hash, scopes, expires_at on api_keys
for each statement execute function notify_key_change();
`;

export async function up(database: Kysely<unknown>): Promise<void> {
  await sql.raw(statements).execute(database);
}
