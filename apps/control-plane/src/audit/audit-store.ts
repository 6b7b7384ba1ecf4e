/** The rows of `audit_log`: who did what. They are only added. */
import type { Database } from "../database/connect.ts";
import type { Actor } from "../auth/caller.ts";

export interface NewAuditEntry {
  teamId: string;
  actor: Actor;
  action: string;
  targetId: string | null;
  requestId: string;
  address: string;
  details: Readonly<Record<string, unknown>>;
}

export interface AuditRow {
  id: number;
  user_id: string | null;
  api_key_id: string | null;
  actor_name: string;
  action: string;
  target_id: string | null;
  request_id: string | null;
  address: string | null;
  details: Record<string, unknown>;
  created_at: string;
}

export class AuditStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  async add({ teamId, actor, action, targetId, requestId, address, details }: NewAuditEntry): Promise<void> {
    await this.#database
      .insertInto("audit_log")
      .values({
        team_id: teamId,
        user_id: actor.type === "user" ? actor.id : null,
        api_key_id: actor.type === "api_key" ? actor.id : null,
        actor_name: actor.name,
        action,
        target_id: targetId,
        request_id: requestId,
        address,
        details: JSON.stringify(details),
      })
      .execute();
  }

  /** One page, newest first, of those before the entry `before`. */
  async page(teamId: string, { limit, before }: { limit: number; before?: number }): Promise<AuditRow[]> {
    return await this.#database
      .selectFrom("audit_log")
      .selectAll()
      .where("team_id", "=", teamId)
      .$if(before !== undefined, (query) => query.where("id", "<", before as number))
      .orderBy("id", "desc")
      .limit(limit)
      .execute();
  }
}
