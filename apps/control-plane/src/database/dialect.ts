/**
 * PostgreSQL for Kysely, with its errors mapped once, here: whoever asks the database gets WrennErrors. What is thrown
 * within a transaction by who made it stays as it is.
 */
import {
  PostgresDialect,
  type CompiledQuery,
  type DatabaseConnection,
  type Driver,
  type QueryResult,
  type TransactionSettings,
} from "kysely";
import { rethrow } from "./errors.ts";

export class MappedPostgresDialect extends PostgresDialect {
  override createDriver(): Driver {
    return new MappedDriver(super.createDriver());
  }
}

class MappedDriver implements Driver {
  readonly #driver: Driver;

  constructor(driver: Driver) {
    this.#driver = driver;
  }

  async init(): Promise<void> {
    await this.#driver.init();
  }

  async acquireConnection(): Promise<MappedConnection> {
    return new MappedConnection(await this.#driver.acquireConnection().catch(rethrow));
  }

  async beginTransaction({ inner }: MappedConnection, settings: TransactionSettings): Promise<void> {
    await this.#driver.beginTransaction(inner, settings).catch(rethrow);
  }

  async commitTransaction({ inner }: MappedConnection): Promise<void> {
    await this.#driver.commitTransaction(inner).catch(rethrow);
  }

  async rollbackTransaction({ inner }: MappedConnection): Promise<void> {
    await this.#driver.rollbackTransaction(inner).catch(rethrow);
  }

  async releaseConnection({ inner }: MappedConnection): Promise<void> {
    await this.#driver.releaseConnection(inner);
  }

  async destroy(): Promise<void> {
    await this.#driver.destroy();
  }
}

class MappedConnection implements DatabaseConnection {
  readonly inner: DatabaseConnection;

  constructor(inner: DatabaseConnection) {
    this.inner = inner;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    return await this.inner.executeQuery<R>(query).catch(rethrow);
  }

  streamQuery<R>(query: CompiledQuery, chunkSize: number): AsyncIterableIterator<QueryResult<R>> {
    return this.inner.streamQuery(query, chunkSize); // needs a cursor, which this project has no use for
  }
}
