/** The rows of `idempotency_keys`: which request of a team was made under which key, and its answer. */
import { sql } from "kysely";
import type { Database } from "../database/connect.ts";

/** How long a key is remembered. */
const RETENTION_HOURS = 24;

export interface Claim {
  teamId: string;
  key: string;
  requestHash: Buffer;
  resourceId: string;
}

export interface KnownRequest {
  requestHash: Buffer;
  resourceId: string;
  /** Undefined while the request is under way. */
  response: object | undefined;
}

export class IdempotencyStore {
  readonly #database: Database;
  readonly #abandonedAfterSec: number;

  /**
   * @param options.abandonedAfterMs a request that was begun this long ago and left nothing behind will never be
   *   finished by who began it
   */
  constructor(database: Database, { abandonedAfterMs }: { abandonedAfterMs: number }) {
    this.#database = database;
    this.#abandonedAfterSec = abandonedAfterMs / 1_000;
  }

  /** Takes a key. @returns undefined when it is the caller's now, else the request that has it. */
  async claim({ teamId, key, requestHash, resourceId }: Claim): Promise<KnownRequest | undefined> {
    const claimed = await this.#database
      .insertInto("idempotency_keys")
      .values({
        team_id: teamId,
        key,
        request_hash: requestHash,
        resource_id: resourceId,
        expires_at: sql<string>`now() + make_interval(hours => ${RETENTION_HOURS})`,
      })
      .onConflict((conflict) =>
        conflict
          .columns(["team_id", "key"])
          .doUpdateSet({
            request_hash: requestHash,
            resource_id: resourceId,
            response_status: null,
            response_body: null,
            created_at: sql<string>`now()`,
            expires_at: sql<string>`excluded.expires_at`,
          })
          .where(sql<boolean>`idempotency_keys.expires_at <= now()`),
      )
      .returning("key")
      .executeTakeFirst();
    if (claimed !== undefined) return undefined;
    const known = await this.#database
      .selectFrom("idempotency_keys")
      .select(["request_hash", "resource_id", "response_body"])
      .where("team_id", "=", teamId)
      .where("key", "=", key)
      .executeTakeFirst();
    if (known === undefined) return await this.claim({ teamId, key, requestHash, resourceId }); // released meanwhile
    return {
      requestHash: known.request_hash,
      resourceId: known.resource_id ?? "",
      response: known.response_body ?? undefined,
    };
  }

  /** Keeps the answer of the request that makes `resourceId`. */
  async complete({ teamId, key, resourceId }: Omit<Claim, "requestHash">, status: number, body: object): Promise<void> {
    await this.#database
      .updateTable("idempotency_keys")
      .set({ response_status: status, response_body: JSON.stringify(body) })
      .where("team_id", "=", teamId)
      .where("key", "=", key)
      .where("resource_id", "=", resourceId)
      .execute();
  }

  /** Gives a key free whose request made nothing. @param options.abandoned only when it is long ago. */
  async release(
    { teamId, key, resourceId }: Omit<Claim, "requestHash">,
    options: { abandoned: boolean },
  ): Promise<void> {
    await this.#database
      .deleteFrom("idempotency_keys")
      .where("team_id", "=", teamId)
      .where("key", "=", key)
      .where("resource_id", "=", resourceId)
      .where("response_body", "is", null)
      .$if(options.abandoned, (query) =>
        query.where(
          sql<boolean>`created_at < now() - make_interval(secs => ${this.#abandonedAfterSec}::double precision)`,
        ),
      )
      .execute();
  }
}
