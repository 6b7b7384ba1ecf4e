/** The rows of `users`, and the sessions that they have. */
import { sql, type Transaction } from "kysely";
import type { Role } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { Database } from "../database/connect.ts";
import { violatesUnique } from "../database/errors.ts";
import { newId } from "../database/ids.ts";
import type { Tables } from "../database/tables.ts";
import { acceptInvitation } from "../teams/invitation-store.ts";
import { insertTeam } from "../teams/team-store.ts";
import type { SessionClaims } from "./session-token.ts";

/** What a session is made from. */
export interface Account {
  userId: string;
  email: string;
  epoch: number;
}

export class AccountStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /**
   * Makes a user and a team that it owns; with an invitation, the user joins that team as well.
   * @returns the account, and the team to work in: the one of the invitation, else the new one
   * @throws WrennError `already_exists`; what `acceptInvitation` throws
   */
  async create(email: string, passwordHash: string, invitation?: string): Promise<Account & { teamId: string }> {
    try {
      return await this.#database.transaction().execute(async (transaction) => {
        const { id: userId, session_epoch: epoch } = await transaction
          .insertInto("users")
          .values({ id: newId("usr_"), email, password_hash: passwordHash })
          .returning(["id", "session_epoch"])
          .executeTakeFirstOrThrow();
        const own = await insertDefaultTeam(transaction, { userId, email });
        const teamId =
          invitation === undefined
            ? own
            : (await acceptInvitation(transaction, { token: invitation, userId, email })).teamId;
        return { userId, email, epoch, teamId };
      });
    } catch (error) {
      if (!violatesUnique(error, "users_email_key")) throw error;
      throw new WrennError("already_exists", `Cannot sign up: there is an account for ${email}`, {
        cause: error,
        hint: "Log in instead",
      });
    }
  }

  async findByEmail(email: string): Promise<(Account & { passwordHash: string | undefined }) | undefined> {
    return await this.#find("email", email);
  }

  async find(userId: string): Promise<(Account & { passwordHash: string | undefined }) | undefined> {
    return await this.#find("id", userId);
  }

  async #find(column: "id" | "email", value: string) {
    const row = await this.#database.selectFrom("users").selectAll().where(column, "=", value).executeTakeFirst();
    if (row === undefined) return undefined;
    const { id, email, session_epoch, password_hash } = row;
    return { userId: id, email, epoch: session_epoch, passwordHash: password_hash ?? undefined };
  }

  /** The team that a user who logs in works in; who is in none any more gets a new one. */
  async defaultTeam({ userId, email }: Account): Promise<string> {
    return await this.#database.transaction().execute(async (transaction) => {
      // of two logins at once one makes the team
      await transaction.selectFrom("users").select("id").where("id", "=", userId).forNoKeyUpdate().execute();
      const found = await transaction
        .selectFrom("team_members")
        .select("team_id")
        .where("user_id", "=", userId)
        .orderBy("is_default", "desc")
        .orderBy("created_at")
        .limit(1)
        .executeTakeFirst();
      return found?.team_id ?? (await insertDefaultTeam(transaction, { userId, email }));
    });
  }

  /** Changes the hash only: the password stays, its cost does not. */
  async replaceHash({ userId, epoch }: Account, passwordHash: string): Promise<void> {
    await this.#database
      .updateTable("users")
      .set({ password_hash: passwordHash })
      .where("id", "=", userId)
      .where("session_epoch", "=", epoch)
      .execute();
  }

  /**
   * Changes the password and ends every session.
   * @throws WrennError `conflict` when the password was changed meanwhile
   */
  async changePassword(account: Account, passwordHash: string): Promise<Account> {
    const changed = await this.#database
      .updateTable("users")
      .set({
        password_hash: passwordHash,
        session_epoch: sql<number>`session_epoch + 1`,
        updated_at: sql<string>`now()`,
      })
      .where("id", "=", account.userId)
      .where("session_epoch", "=", account.epoch)
      .returning("session_epoch")
      .executeTakeFirst();
    if (changed === undefined) throw new WrennError("conflict", "Cannot change the password: it was changed meanwhile");
    return { ...account, epoch: changed.session_epoch };
  }

  /** The role of a session's user in its team; undefined when the session has ended. */
  async roleOfSession({ userId, teamId, epoch, sessionId }: SessionClaims): Promise<Role | undefined> {
    const row = await this.#database
      .selectFrom("users")
      .innerJoin("team_members", "team_members.user_id", "users.id")
      .innerJoin("teams", "teams.id", "team_members.team_id")
      .select("team_members.role")
      .where("users.id", "=", userId)
      .where("users.session_epoch", "=", epoch)
      .where("teams.id", "=", teamId)
      .where("teams.deleted_at", "is", null)
      .where((where) =>
        where.not(
          where.exists(where.selectFrom("revoked_sessions").select("id").where("revoked_sessions.id", "=", sessionId)),
        ),
      )
      .executeTakeFirst();
    return row?.role;
  }

  /** Ends one session, and forgets those whose time is over anyway. */
  async revoke(sessionId: string, expiresAtSec: number): Promise<void> {
    await this.#database.transaction().execute(async (transaction) => {
      await transaction
        .deleteFrom("revoked_sessions")
        .where("expires_at", "<", sql<string>`now() - interval '1 hour'`)
        .execute();
      await transaction
        .insertInto("revoked_sessions")
        .values({ id: sessionId, expires_at: sql<string>`to_timestamp(${expiresAtSec})` })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
    });
  }

  /** Uses an invitation; see `acceptInvitation`. */
  async join(account: Pick<Account, "userId" | "email">, token: string): Promise<{ teamId: string }> {
    return await this.#database
      .transaction()
      .execute((transaction) => acceptInvitation(transaction, { ...account, token }));
  }
}

async function insertDefaultTeam(
  transaction: Transaction<Tables>,
  { userId, email }: { userId: string; email: string },
): Promise<string> {
  const name = `${email}'s team`.slice(-128);
  return (await insertTeam(transaction, { userId, name, isDefault: true })).id;
}
