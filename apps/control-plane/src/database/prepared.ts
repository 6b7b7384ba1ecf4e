/**
 * Queries that almost every request asks: compiled once, and planned once by each connection, for planning one is more
 * work to PostgreSQL than running it. They name their columns one by one: the plan of a `*` ends with the migration that
 * adds a column, and the queries of a control plane that is not upgraded yet with it.
 */
import { CompiledQuery, Kysely, type Compilable } from "kysely";
import type pg from "pg";
import { MappedPostgresDialect } from "./dialect.ts";
import { rethrow } from "./errors.ts";
import type { Tables } from "./tables.ts";

/** A query as a function of its values. It is called once, with placeholders: it hands them on as they are. */
export type Statement<Values extends unknown[], Row> = (...values: Values) => Compilable<Row>;
export type Prepared<Values extends unknown[], Row> = (...values: Values) => Promise<Row[]>;

/** The database itself; a transaction is none. */
export class PooledDatabase extends Kysely<Tables> {
  readonly pool: pg.Pool;

  constructor(pool: pg.Pool) {
    super({ dialect: new MappedPostgresDialect({ pool }) });
    this.pool = pool;
  }
}

class Placeholder {
  readonly index: number;

  constructor(index: number) {
    this.index = index;
  }
}

/** @param name of the statement, which no other has */
export function prepare<Values extends unknown[], Row>(
  database: Kysely<Tables>,
  name: string,
  statement: Statement<Values, Row>,
): Prepared<Values, Row> {
  const placeholders = Array.from({ length: statement.length }, (_, index) => new Placeholder(index));
  const { sql: text, parameters } = statement(...(placeholders as unknown[] as Values)).compile();
  return async (...given) => {
    const values = parameters.map((one) => (one instanceof Placeholder ? given[one.index] : one));
    if (database instanceof PooledDatabase) {
      return (await database.pool.query<Row & pg.QueryResultRow>({ name, text, values }).catch(rethrow)).rows;
    }
    return (await database.executeQuery<Row>(CompiledQuery.raw(text, values))).rows;
  };
}
