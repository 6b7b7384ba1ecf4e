/** The rows of `teams`. A deleted team keeps its row, for its audit log and the sandboxes that it had. */
import { sql, type Kysely } from "kysely";
import { LIMITS, type Role } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { Database } from "../database/connect.ts";
import { newId } from "../database/ids.ts";
import { isAfter, type PageRequest } from "../database/page.ts";
import type { Tables } from "../database/tables.ts";
import { lockTeam } from "./lock-team.ts";

/** A team as one of its members sees it. */
export interface TeamOfMember {
  id: string;
  name: string;
  role: Role;
  created_at: string;
}

export class TeamStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Makes a team that the user owns.
   * @throws WrennError `quota_exceeded` when the user owns as many as one person may
   */
  async create(userId: string, name: string): Promise<TeamOfMember> {
    return await this.#database.transaction().execute(async (transaction) => {
      await transaction.selectFrom("users").select("id").where("id", "=", userId).forNoKeyUpdate().execute();
      const { owned } = await transaction
        .selectFrom("team_members")
        .select(sql<number>`count(*)`.as("owned"))
        .where("user_id", "=", userId)
        .where("role", "=", "owner")
        .executeTakeFirstOrThrow();
      if (owned >= LIMITS.maxTeamsPerOwner) {
        throw new WrennError(
          "quota_exceeded",
          `Cannot make a team: one person may own ${LIMITS.maxTeamsPerOwner} at most`,
          { hint: "Delete one that is not needed" },
        );
      }
      return await insertTeam(transaction, { userId, name, isDefault: false });
    });
  }

  async find(teamId: string): Promise<{ id: string; name: string; created_at: string } | undefined> {
    return await this.#database
      .selectFrom("teams")
      .select(["id", "name", "created_at"])
      .where("id", "=", teamId)
      .where("deleted_at", "is", null)
      .executeTakeFirst();
  }

  /** One page of a user's teams, newest first. */
  async page(userId: string, { limit, after }: PageRequest): Promise<TeamOfMember[]> {
    return await this.#database
      .selectFrom("teams")
      .innerJoin("team_members", "team_members.team_id", "teams.id")
      .select(["teams.id", "teams.name", "team_members.role", "teams.created_at"])
      .where("team_members.user_id", "=", userId)
      .where("teams.deleted_at", "is", null)
      .where(isAfter(after, { createdAt: "teams.created_at", id: "teams.id" }))
      .orderBy("teams.created_at", "desc")
      .orderBy("teams.id")
      .limit(limit)
      .execute();
  }

  /** @returns false for a team that does not exist. */
  async rename(teamId: string, name: string): Promise<boolean> {
    const { numUpdatedRows } = await this.#database
      .updateTable("teams")
      .set({ name, updated_at: sql<string>`now()` })
      .where("id", "=", teamId)
      .where("deleted_at", "is", null)
      .executeTakeFirst();
    return numUpdatedRows > 0n;
  }

  /**
   * Ends a team: nobody is a member any more, and no key works.
   * @throws WrennError `conflict` while it has sandboxes, snapshots or templates
   */
  async delete(teamId: string): Promise<void> {
    await this.#database.transaction().execute(async (transaction) => {
      if ((await lockTeam(transaction, teamId)) === undefined) return;
      const { rows } = await sql<{ what: string; count: number }>`
        select 'sandboxes' as what, count(*) from sandboxes where team_id = ${teamId} and state <> 'gone'
        union all select 'snapshots', count(*) from snapshots where team_id = ${teamId} and deleted_at is null
        union all select 'templates', count(*) from templates where team_id = ${teamId} and deleted_at is null
      `.execute(transaction);
      const left = rows.filter(({ count }) => count > 0).map(({ what, count }) => `${count} ${what}`);
      if (left.length > 0) {
        throw new WrennError("conflict", `Cannot delete team ${teamId}: it has ${left.join(", ")}`, {
          hint: "Destroy them first",
        });
      }
      for (const table of ["team_members", "team_invitations", "api_keys"] as const) {
        await transaction.deleteFrom(table).where("team_id", "=", teamId).execute();
      }
      await sql`delete from webhooks where team_id = ${teamId}`.execute(transaction);
      await transaction
        .updateTable("teams")
        .set({ deleted_at: sql<string>`now()`, updated_at: sql<string>`now()` })
        .where("id", "=", teamId)
        .execute();
    });
  }
}

/** A new team, and its owner's membership. */
export async function insertTeam(
  transaction: Kysely<Tables>,
  { userId, name, isDefault }: { userId: string; name: string; isDefault: boolean },
): Promise<TeamOfMember> {
  const team = await transaction
    .insertInto("teams")
    .values({ id: newId("team_"), name })
    .returning(["id", "name", "created_at"])
    .executeTakeFirstOrThrow();
  await transaction
    .insertInto("team_members")
    .values({ team_id: team.id, user_id: userId, role: "owner", is_default: isDefault })
    .execute();
  return { ...team, role: "owner" };
}
