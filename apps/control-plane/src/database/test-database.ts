/**
 * For tests: one real server per test file, a fresh database per call.
 */
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { startEmbeddedPostgres, type RunningPostgres } from "@wrenn/postgres";
import { connectDatabase, type Database } from "./connect.ts";

export class TestServer {
  readonly #directory: string;
  readonly #server: RunningPostgres;
  readonly #maintenance: Database;
  #count = 0;

  private constructor(directory: string, server: RunningPostgres, maintenance: Database) {
    this.#directory = directory;
    this.#server = server;
    this.#maintenance = maintenance;
  }

  static async start(): Promise<TestServer> {
    const directory = await fs.mkdtemp(join(tmpdir(), "control-plane-db-"));
    await fs.chmod(directory, 0o711);
    const server = await startEmbeddedPostgres({
      stateDirectory: directory,
      signal: AbortSignal.timeout(60_000),
      log: () => undefined,
    });
    return new TestServer(
      directory,
      server,
      await connectDatabase({ url: server.databaseUrl, poolSize: 1, onIdleError: () => undefined }),
    );
  }

  /** Process id of the server, to be killed by tests of its failure. */
  get pid(): number {
    return this.#server.pid;
  }

  /** The connection string of a new, empty database. */
  async newDatabase(): Promise<string> {
    const name = `test_${++this.#count}`;
    await sql`create database ${sql.ref(name)}`.execute(this.#maintenance);
    return this.#server.databaseUrl.replace("/wrenn?", `/${name}?`);
  }

  async stop(): Promise<void> {
    await this.#maintenance.destroy();
    await this.#server.stop();
    await fs.rm(this.#directory, { recursive: true });
  }
}
