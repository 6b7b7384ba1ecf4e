/** Teams that are deleted, sessions that were ended, an audit log that outlives its actors. */
import { sql, type Kysely } from "kysely";

const statements = `
alter table teams add column deleted_at timestamptz;

create table revoked_sessions (
  id text primary key,
  expires_at timestamptz not null
);
create index revoked_sessions_expiry on revoked_sessions (expires_at);

alter table audit_log
  drop constraint audit_log_team_id_fkey,
  drop constraint audit_log_user_id_fkey,
  drop constraint audit_log_api_key_id_fkey,
  add column actor_name text not null default '';
drop index audit_log_page;
create index audit_log_page on audit_log (team_id, id desc);

create index team_invitations_creator on team_invitations (created_by) where accepted_at is null;

update api_keys
set scopes = '{sandboxes:read,sandboxes:write,templates:read,templates:write,team:read,team:write,platform:write}'
where name = 'First start' and created_by is null;
`;

export async function up(database: Kysely<unknown>): Promise<void> {
  await sql.raw(statements).execute(database);
}
