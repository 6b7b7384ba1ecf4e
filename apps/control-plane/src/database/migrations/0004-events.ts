/** Events in the transaction of the change that they tell, tickets, and what a repeated create finds. */
import { sql, type Kysely } from "kysely";

const statements = `
-- the id of what the request makes: found again when the control plane that began it is gone
alter table idempotency_keys add column resource_id text;

create table tickets (
  hash bytea primary key check (length(hash) = 32),
  caller jsonb not null,
  expires_at timestamptz not null
);
create index tickets_expiry on tickets (expires_at);

create function record_sandbox_event() returns trigger language plpgsql as $$
declare
  event_id bigint;
  event_type text := 'sandbox.' || new.state;
begin
  if tg_op = 'UPDATE' and new.state = old.state then
    return null;
  end if;
  -- the ids of a team's events are in the order of their commits: who reads on after an id misses nothing
  perform pg_advisory_xact_lock(7780002, hashtext(new.team_id));
  insert into events (team_id, type, sandbox_id, data)
  values (new.team_id, event_type, new.id, jsonb_strip_nulls(jsonb_build_object(
    'status', new.state,
    'previous_status', case when tg_op = 'UPDATE' then old.state end,
    'incarnation', new.incarnation,
    'template', new.template_name,
    'metadata', new.metadata,
    'reason', new.reason)))
  returning id into event_id;
  insert into webhook_deliveries (webhook_id, event_id)
  select id, event_id from webhooks
  where team_id = new.team_id and enabled and (event_types = '{}' or event_type = any (event_types));
  perform pg_notify('wrenn_events', new.team_id);
  return null;
end
$$;

create trigger sandboxes_event after insert or update of state on sandboxes
for each row execute function record_sandbox_event();

create index events_created on events (created_at);
`;

export async function up(database: Kysely<unknown>): Promise<void> {
  await sql.raw(statements).execute(database);
}
