/** The rows of `api_keys`. */
import { sql } from "kysely";
import type { Database } from "../database/connect.ts";
import { fromDatabase } from "../database/errors.ts";

/** Who a request is from. */
export interface Caller {
  apiKeyId: string;
  teamId: string;
}

export class ApiKeyStore {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** The caller whose key has this hash, unless the key is unknown or has expired. */
  async findByHash(hash: Buffer): Promise<Caller | undefined> {
    const row = await this.#database
      .selectFrom("api_keys")
      .select(["id", "team_id"])
      .where("key_hash", "=", hash)
      .where((where) => where.or([where("expires_at", "is", null), where("expires_at", ">", sql<string>`now()`)]))
      .executeTakeFirst()
      .catch(rethrow);
    return row === undefined ? undefined : { apiKeyId: row.id, teamId: row.team_id };
  }

  /** Moves `last_used_at` forward, for all keys at once. */
  async recordUse(times: ReadonlyMap<string, Date>): Promise<void> {
    if (times.size === 0) return;
    await sql`
      update api_keys set last_used_at = used.at
      from unnest(${[...times.keys()]}::text[], ${[...times.values()]}::timestamptz[]) as used (id, at)
      where api_keys.id = used.id and (api_keys.last_used_at is null or api_keys.last_used_at < used.at)`
      .execute(this.#database)
      .catch(rethrow);
  }
}

function rethrow(error: unknown): never {
  throw fromDatabase(error);
}
