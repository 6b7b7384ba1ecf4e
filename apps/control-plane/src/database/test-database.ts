/**
 * For tests: one real server per test file, a fresh database per call. It is the embedded one, or that
 * whose programs are in the directory WRENN_TEST_POSTGRES.
 */
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { sql } from "kysely";
import { startEmbeddedPostgres } from "@wrenn/postgres";
import { connectDatabase, type Database } from "./connect.ts";
import { startDebianServer, type RunningServer } from "./debian-server.ts";

export class TestServer {
  readonly #directory: string;
  #server: RunningServer;
  readonly #maintenance: Database;
  #count = 0;

  private constructor(directory: string, server: RunningServer, maintenance: Database) {
    this.#directory = directory;
    this.#server = server;
    this.#maintenance = maintenance;
  }

  static async start(): Promise<TestServer> {
    const directory = await fs.mkdtemp(join(tmpdir(), "control-plane-db-"));
    await fs.chmod(directory, 0o711);
    const server = await startIn(directory);
    return new TestServer(
      directory,
      server,
      await connectDatabase({ url: server.databaseUrl, poolSize: 1, onIdleError: () => undefined }),
    );
  }

  /** Stops the server, breaking every connection, and starts it again with the same databases and address. */
  async restart(): Promise<void> {
    await this.#server.stop();
    this.#server = await startIn(this.#directory);
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

async function startIn(stateDirectory: string): Promise<RunningServer> {
  const binaries = process.env["WRENN_TEST_POSTGRES"];
  if (binaries !== undefined) return await startDebianServer(binaries, stateDirectory);
  return await startEmbeddedPostgres({ stateDirectory, signal: AbortSignal.timeout(60_000), log: () => undefined });
}
