/** Who is in a team. Changes lock the team, so that of two owners who leave at once one stays. */
import { sql, type Transaction } from "kysely";
import type { Role } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { Database } from "../database/connect.ts";
import { isAfter, type PageRequest } from "../database/page.ts";
import type { Tables } from "../database/tables.ts";
import { lockTeam } from "./lock-team.ts";

export interface MemberRow {
  id: string;
  email: string;
  role: Role;
  created_at: string;
}

/** Called with the member's role before the change; throws to refuse it. */
export type Allow = (current: Role) => void;

export class MemberStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The role of a user in a team that exists; undefined for others. */
  async roleOf(teamId: string, userId: string): Promise<Role | undefined> {
    const row = await this.#database
      .selectFrom("team_members")
      .innerJoin("teams", "teams.id", "team_members.team_id")
      .select("role")
      .where("team_id", "=", teamId)
      .where("user_id", "=", userId)
      .where("deleted_at", "is", null)
      .executeTakeFirst();
    return row?.role;
  }

  /** One page, those who joined last first. */
  async page(teamId: string, { limit, after }: PageRequest): Promise<MemberRow[]> {
    return await this.#members(teamId)
      .where(isAfter(after, { createdAt: "team_members.created_at", id: "users.id" }))
      .orderBy("team_members.created_at", "desc")
      .orderBy("users.id")
      .limit(limit)
      .execute();
  }

  /** @throws WrennError `not_found`, `conflict` for the last owner, and what `allow` throws */
  async changeRole(teamId: string, userId: string, role: Role, allow: Allow): Promise<MemberRow> {
    return await this.#database.transaction().execute(async (transaction) => {
      const member = await this.#lock(transaction, teamId, userId);
      allow(member.role);
      if (member.role === "owner" && role !== "owner") await keepAnOwner(transaction, teamId);
      await transaction
        .updateTable("team_members")
        .set({ role })
        .where("team_id", "=", teamId)
        .where("user_id", "=", userId)
        .execute();
      if (role === "member") await withdrawInvitations(transaction, teamId, userId);
      return { ...member, role };
    });
  }

  /**
   * Ends a membership, and with it every session for this team and every open invitation of that user.
   * @throws WrennError `not_found`, `conflict` for the last owner, and what `allow` throws
   */
  async remove(teamId: string, userId: string, allow: Allow): Promise<void> {
    await this.#database.transaction().execute(async (transaction) => {
      const member = await this.#lock(transaction, teamId, userId);
      allow(member.role);
      if (member.role === "owner") await keepAnOwner(transaction, teamId);
      await transaction
        .deleteFrom("team_members")
        .where("team_id", "=", teamId)
        .where("user_id", "=", userId)
        .execute();
      await withdrawInvitations(transaction, teamId, userId);
    });
  }

  async #lock(transaction: Transaction<Tables>, teamId: string, userId: string): Promise<MemberRow> {
    await lockTeam(transaction, teamId);
    const member = await this.#members(teamId, transaction).where("users.id", "=", userId).executeTakeFirst();
    if (member !== undefined) return member;
    throw new WrennError("not_found", `Cannot find user ${userId} in team ${teamId}`, {
      hint: `GET /v1/teams/${teamId}/members lists its members`,
    });
  }

  #members(teamId: string, database: Database = this.#database) {
    return database
      .selectFrom("team_members")
      .innerJoin("users", "users.id", "team_members.user_id")
      .select(["users.id", "users.email", "team_members.role", "team_members.created_at"])
      .where("team_members.team_id", "=", teamId);
  }
}

async function keepAnOwner(transaction: Transaction<Tables>, teamId: string): Promise<void> {
  const { owners } = await transaction
    .selectFrom("team_members")
    .select(sql<number>`count(*)`.as("owners"))
    .where("team_id", "=", teamId)
    .where("role", "=", "owner")
    .executeTakeFirstOrThrow();
  if (owners > 1) return;
  throw new WrennError("conflict", `Cannot leave team ${teamId} without an owner`, {
    hint: "Make somebody else an owner first, or delete the team",
  });
}

async function withdrawInvitations(transaction: Transaction<Tables>, teamId: string, userId: string): Promise<void> {
  await transaction
    .deleteFrom("team_invitations")
    .where("team_id", "=", teamId)
    .where("created_by", "=", userId)
    .where("accepted_at", "is", null)
    .execute();
}
