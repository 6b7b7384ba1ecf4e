/** The rows of `api_keys`. */
import { sql } from "kysely";
import { LIMITS, type Scope } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { Database } from "../database/connect.ts";
import { newId } from "../database/ids.ts";
import { isAfter, type PageRequest } from "../database/page.ts";
import { lockTeam } from "../teams/lock-team.ts";
import { mintApiKey } from "./api-key.ts";

/** A key without its secret. */
export interface ApiKeyRow {
  id: string;
  team_id: string;
  name: string;
  key_prefix: string;
  scopes: string[];
  created_by: string | null;
  creator_email: string | null;
  created_at: string;
  expires_at: string | null;
  last_used_at: string | null;
}

/** What a request needs to know of its key. */
export interface KeyOwner extends Pick<ApiKeyRow, "id" | "team_id" | "name" | "scopes"> {
  /** By the database's clock; null for a key without an end. */
  expires_in_ms: number | null;
}

export class ApiKeyStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The key that has this hash, unless it is unknown or has expired. */
  async findByHash(hash: Buffer): Promise<KeyOwner | undefined> {
    return await this.#database
      .selectFrom("api_keys")
      .select(["id", "team_id", "name", "scopes"])
      .select(sql<number | null>`(extract(epoch from expires_at - now()) * 1000)::float8`.as("expires_in_ms"))
      .where("key_hash", "=", hash)
      .where((where) => where.or([where("expires_at", "is", null), where("expires_at", ">", sql<string>`now()`)]))
      .executeTakeFirst();
  }

  /**
   * @returns the row, and the key, which cannot be had again
   * @throws WrennError `quota_exceeded`
   */
  async create(options: {
    teamId: string;
    name: string;
    scopes: readonly Scope[];
    createdBy: string | null;
    lifetimeSec: number | undefined;
  }): Promise<{ row: ApiKeyRow; key: string }> {
    const { key, hash, prefix } = mintApiKey();
    const id = newId("key_");
    await this.#database.transaction().execute(async (transaction) => {
      await lockTeam(transaction, options.teamId);
      const { count } = await transaction
        .selectFrom("api_keys")
        .select(sql<number>`count(*)`.as("count"))
        .where("team_id", "=", options.teamId)
        .executeTakeFirstOrThrow();
      if (count >= LIMITS.maxApiKeysPerTeam) {
        throw new WrennError("quota_exceeded", `Cannot make an API key: the team has ${count}`, {
          hint: "Delete those that are not used",
        });
      }
      await transaction
        .insertInto("api_keys")
        .values({
          id,
          team_id: options.teamId,
          name: options.name,
          key_hash: hash,
          key_prefix: prefix,
          scopes: [...options.scopes],
          created_by: options.createdBy,
          expires_at:
            options.lifetimeSec === undefined
              ? null
              : sql<string>`now() + make_interval(secs => ${options.lifetimeSec})`,
        })
        .execute();
    });
    const row = await this.#keys(options.teamId).where("api_keys.id", "=", id).executeTakeFirstOrThrow();
    return { row, key };
  }

  /** One page, newest first. */
  async page(teamId: string, { limit, after }: PageRequest): Promise<ApiKeyRow[]> {
    return await this.#keys(teamId)
      .where(isAfter(after, { createdAt: "api_keys.created_at", id: "api_keys.id" }))
      .orderBy("api_keys.created_at", "desc")
      .orderBy("api_keys.id")
      .limit(limit)
      .execute();
  }

  async find(teamId: string, id: string): Promise<ApiKeyRow | undefined> {
    return await this.#keys(teamId).where("api_keys.id", "=", id).executeTakeFirst();
  }

  /** Ends a key at once. @returns false when the team has no such key. */
  async delete(teamId: string, id: string): Promise<boolean> {
    const { numDeletedRows } = await this.#database
      .deleteFrom("api_keys")
      .where("team_id", "=", teamId)
      .where("id", "=", id)
      .executeTakeFirst();
    return numDeletedRows > 0n;
  }

  /** Moves `last_used_at` forward, for all keys at once. */
  async recordUse(times: ReadonlyMap<string, Date>): Promise<void> {
    if (times.size === 0) return;
    await sql`
      update api_keys set last_used_at = used.at
      from unnest(${[...times.keys()]}::text[], ${[...times.values()]}::timestamptz[]) as used (id, at)
      where api_keys.id = used.id and (api_keys.last_used_at is null or api_keys.last_used_at < used.at)`.execute(
      this.#database,
    );
  }

  #keys(teamId: string) {
    return this.#database
      .selectFrom("api_keys")
      .leftJoin("users", "users.id", "api_keys.created_by")
      .select([
        "api_keys.id",
        "api_keys.team_id",
        "api_keys.name",
        "api_keys.key_prefix",
        "api_keys.scopes",
        "api_keys.created_by",
        "users.email as creator_email",
        "api_keys.created_at",
        "api_keys.expires_at",
        "api_keys.last_used_at",
      ])
      .where("api_keys.team_id", "=", teamId);
  }
}
