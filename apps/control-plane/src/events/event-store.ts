/**
 * The rows of `events`. The database writes them itself, in the transaction that changes a sandbox
 * (migration 0004), and gives them ids that grow in the order of the commits of a team.
 */
import type { Event, EventType } from "@wrenn/api-schema";
import type { Database } from "../database/connect.ts";
import type { EventRow } from "../database/tables.ts";

export interface EventFilter {
  types?: readonly EventType[];
  sandboxId?: string;
}

export class EventStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Events of a team after the one of id `after`, oldest first. */
  async after(teamId: string, after: number, limit: number, filter: EventFilter = {}): Promise<Event[]> {
    const rows = await this.#database
      .selectFrom("events")
      .selectAll()
      .where("team_id", "=", teamId)
      .where("id", ">", after)
      .$if(filter.types !== undefined, (query) => query.where("type", "in", filter.types ?? []))
      .$if(filter.sandboxId !== undefined, (query) => query.where("sandbox_id", "=", filter.sandboxId ?? ""))
      .orderBy("id")
      .limit(limit)
      .execute();
    return rows.map(eventOf);
  }

  /** The id of the newest event of a team; 0 when it has none. */
  async newestId(teamId: string): Promise<number> {
    const row = await this.#database
      .selectFrom("events")
      .select("id")
      .where("team_id", "=", teamId)
      .orderBy("id", "desc")
      .limit(1)
      .executeTakeFirst();
    return row?.id ?? 0;
  }
}

export function eventOf(row: EventRow): Event {
  return {
    id: String(row.id),
    type: row.type,
    created_at: row.created_at,
    sandbox_id: row.sandbox_id,
    data: row.data,
  };
}
