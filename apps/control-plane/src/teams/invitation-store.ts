/** Invitations: a secret that lets one person join a team. Only its SHA-256 is stored. */
import { createHash, randomBytes } from "node:crypto";
import { sql, type Transaction } from "kysely";
import { LIMITS, type Role } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { Database } from "../database/connect.ts";
import { newId } from "../database/ids.ts";
import { isAfter, type PageRequest } from "../database/page.ts";
import type { Tables } from "../database/tables.ts";
import { lockTeam } from "./lock-team.ts";

export interface InvitationRow {
  id: string;
  team_id: string;
  role: Role;
  email: string | null;
  created_by: string | null;
  created_at: string;
  expires_at: string;
}

const COLUMNS = ["id", "team_id", "role", "email", "created_by", "created_at", "expires_at"] as const;

export class InvitationStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** @throws WrennError `quota_exceeded` when too many are open */
  async create(options: {
    teamId: string;
    role: Role;
    email: string | null;
    createdBy: string | null;
    lifetimeSec: number;
  }): Promise<{ row: InvitationRow; token: string }> {
    const token = randomBytes(24).toString("base64url");
    const row = await this.#database.transaction().execute(async (transaction) => {
      await lockTeam(transaction, options.teamId);
      await checkOpen(transaction, options.teamId);
      return await transaction
        .insertInto("team_invitations")
        .values({
          id: newId("inv_"),
          team_id: options.teamId,
          role: options.role,
          email: options.email,
          token_hash: hashOf(token),
          created_by: options.createdBy,
          expires_at: sql<string>`now() + make_interval(secs => ${options.lifetimeSec})`,
        })
        .returning(COLUMNS)
        .executeTakeFirstOrThrow();
    });
    return { row, token };
  }

  /** One page of those that can still be accepted, newest first. */
  async page(teamId: string, { limit, after }: PageRequest): Promise<InvitationRow[]> {
    return await this.#database
      .selectFrom("team_invitations")
      .select(COLUMNS)
      .where("team_id", "=", teamId)
      .where("accepted_at", "is", null)
      .where("expires_at", ">", sql<string>`now()`)
      .where(isAfter(after, { createdAt: "created_at", id: "id" }))
      .orderBy("created_at", "desc")
      .orderBy("id")
      .limit(limit)
      .execute();
  }

  /** Also one that was accepted; who joined stays. @returns false when the team has none of that id. */
  async delete(teamId: string, id: string): Promise<boolean> {
    const { numDeletedRows } = await this.#database
      .deleteFrom("team_invitations")
      .where("team_id", "=", teamId)
      .where("id", "=", id)
      .executeTakeFirst();
    return numDeletedRows > 0n;
  }
}

/**
 * Uses an invitation up, and makes the user a member.
 * @returns the team
 * @throws WrennError `not_found` for one that is unknown, ended, used, or for another address; `conflict` for members
 */
export async function acceptInvitation(
  transaction: Transaction<Tables>,
  { token, userId, email }: { token: string; userId: string; email: string },
): Promise<{ teamId: string }> {
  const accepted = await transaction
    .updateTable("team_invitations")
    .set({ accepted_by: userId, accepted_at: sql<string>`now()` })
    .where("token_hash", "=", hashOf(token))
    .where("accepted_at", "is", null)
    .where("expires_at", ">", sql<string>`now()`)
    .where((where) => where.or([where("email", "is", null), where("email", "=", email)]))
    .returning(["team_id", "role"])
    .executeTakeFirst();
  if (accepted === undefined) {
    throw new WrennError("not_found", "Cannot find the invitation: it was used, has ended, or is for another address", {
      hint: "Ask for a new one",
    });
  }
  const joined = await transaction
    .insertInto("team_members")
    .values({ team_id: accepted.team_id, user_id: userId, role: accepted.role })
    .onConflict((conflict) => conflict.doNothing())
    .executeTakeFirst();
  if (joined.numInsertedOrUpdatedRows !== 1n) {
    throw new WrennError("conflict", `Cannot join team ${accepted.team_id}: you are a member already`, {
      hint: "The invitation can be given to somebody else",
    });
  }
  return { teamId: accepted.team_id };
}

async function checkOpen(transaction: Transaction<Tables>, teamId: string): Promise<void> {
  const { open } = await transaction
    .selectFrom("team_invitations")
    .select(sql<number>`count(*)`.as("open"))
    .where("team_id", "=", teamId)
    .where("accepted_at", "is", null)
    .where("expires_at", ">", sql<string>`now()`)
    .executeTakeFirstOrThrow();
  if (open < LIMITS.maxOpenInvitations) return;
  throw new WrennError(
    "quota_exceeded",
    `Cannot invite anybody: ${LIMITS.maxOpenInvitations} invitations of the team are open`,
    { hint: "Delete those that are not needed" },
  );
}

function hashOf(token: string): Buffer {
  return createHash("sha256").update(token).digest();
}
