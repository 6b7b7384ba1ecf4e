/** How the guest of a running sandbox answers, and an event when one answers no more or does again. */
import { sql, type Kysely } from "kysely";

const statements = `
alter table sandboxes add column health text not null default 'responsive'
  check (health in ('responsive', 'busy', 'unresponsive'));

create or replace function record_sandbox_event() returns trigger language plpgsql as $$
declare
  event_id bigint;
  came_to_state boolean := tg_op = 'INSERT' or new.state <> old.state;
  event_type text := 'sandbox.' || case when came_to_state then new.state else new.health end;
begin
  -- a guest that is only busy now and then is nothing to tell
  if not came_to_state and (new.health = old.health or 'unresponsive' not in (new.health, old.health)) then
    return null;
  end if;
  -- the ids of a team's events are in the order of their commits: who reads on after an id misses nothing
  perform pg_advisory_xact_lock(7780002, hashtext(new.team_id));
  insert into events (team_id, type, sandbox_id, data)
  values (new.team_id, event_type, new.id, jsonb_strip_nulls(jsonb_build_object(
    'status', new.state,
    'previous_status', case when tg_op = 'UPDATE' and came_to_state then old.state end,
    'incarnation', new.incarnation,
    'template', new.template_name,
    'metadata', new.metadata,
    'reason', new.reason,
    'health', case when not came_to_state then new.health end)))
  returning id into event_id;
  insert into webhook_deliveries (webhook_id, event_id)
  select id, event_id from webhooks
  where team_id = new.team_id and enabled and (event_types = '{}' or event_type = any (event_types));
  perform pg_notify('wrenn_events', new.team_id);
  return null;
end
$$;

drop trigger sandboxes_event on sandboxes;
create trigger sandboxes_event after insert or update of state, health on sandboxes
for each row execute function record_sandbox_event();
`;

export async function up(database: Kysely<unknown>): Promise<void> {
  await sql.raw(statements).execute(database);
}
