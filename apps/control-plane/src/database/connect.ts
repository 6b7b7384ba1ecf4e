/**
 * The connection pool. Timestamps are RFC 3339 strings in UTC with microseconds, for a JavaScript Date
 * would cut them to milliseconds and pages would skip rows.
 */
import { sql, type Kysely } from "kysely";
import pg from "pg";
import { WrennError } from "@wrenn/errors";
import { PooledDatabase } from "./prepared.ts";
import type { Tables } from "./tables.ts";

/** The database, or a transaction on it. */
export type Database = Kysely<Tables>;

const OLDEST_VERSION = 150_000;
const CONNECT_TIMEOUT_MS = 10_000;

export interface ConnectOptions {
  url: string;
  /** Most connections; 20 unless told. */
  poolSize?: number;
  /** Called when an idle connection breaks; the pool replaces it. */
  onIdleError: (error: Error) => void;
}

/** @throws WrennError `unavailable` when the server does not answer, `unsupported` when it is too old. */
export async function connectDatabase({ url, poolSize = 20, onIdleError }: ConnectOptions): Promise<Database> {
  const pool = new pg.Pool({
    connectionString: url,
    max: poolSize,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    application_name: "wrenn-control-plane",
    options: "-c TimeZone=UTC -c DateStyle=ISO -c idle_in_transaction_session_timeout=60000",
    types: { getTypeParser },
  });
  pool.on("error", onIdleError);
  // one that breaks while it is used tells its query as well; without a listener it would end the process
  pool.on("connect", (client) => client.on("error", () => undefined));
  const database = new PooledDatabase(pool);
  try {
    const { rows } = await sql<{
      version: number;
    }>`select current_setting('server_version_num')::int as version`.execute(database);
    const version = rows[0]?.version ?? 0;
    if (version < OLDEST_VERSION) {
      throw new WrennError(
        "unsupported",
        `Cannot use PostgreSQL ${Math.floor(version / 10_000)}: 15 is the oldest that works`,
        {
          hint: "Point DATABASE_URL at a newer server, or unset it to use the embedded one",
        },
      );
    }
    return database;
  } catch (error) {
    await database.destroy();
    throw error;
  }
}

const { INT8, TIMESTAMPTZ } = pg.types.builtins;

const getTypeParser = ((oid: number, format?: "text" | "binary") => {
  if (format !== "binary" && oid === INT8) return parseInt8;
  if (format !== "binary" && oid === TIMESTAMPTZ) return parseTimestamp;
  return pg.types.getTypeParser(oid, format);
}) as typeof pg.types.getTypeParser;

function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value))
    throw new RangeError(`Cannot read ${text} from the database: too large for a number`);
  return value;
}

/** `2026-11-22 02:06:00.12+00` as `2026-11-22T02:06:00.120000Z`. */
function parseTimestamp(text: string): string {
  const parts = /^(\d{4}-\d{2}-\d{2}) (\d{2}:\d{2}:\d{2})(?:\.(\d{1,6}))?\+00$/.exec(text);
  if (parts === null) throw new RangeError(`Cannot read the timestamp ${text} from the database: not ISO in UTC`);
  return `${parts[1]}T${parts[2]}.${(parts[3] ?? "").padEnd(6, "0")}Z`;
}
