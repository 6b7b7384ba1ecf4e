import { sql } from "kysely";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { connectDatabase, type Database } from "./connect.ts";
import { fromDatabase } from "./errors.ts";
import type { PooledDatabase } from "./prepared.ts";
import { TestServer } from "./test-database.ts";

let server: TestServer;
let url: string;
let database: Database;
let other: pg.Client;

beforeAll(async () => {
  server = await TestServer.start();
  url = await server.newDatabase();
  database = await connectDatabase({ url, onIdleError: () => undefined });
  other = new pg.Client(url);
  await other.connect();
});
afterAll(async () => {
  await other.end();
  await database.destroy();
  await server.stop();
});

const endBackend = async (pid: number | undefined): Promise<void> => {
  await other.query("select pg_terminate_backend($1, 10000)", [pid]);
};
const backendOf = async (on: Database): Promise<number | undefined> =>
  (await sql<{ pid: number }>`select pg_backend_pid() as pid`.execute(on)).rows[0]?.pid;

it("knows a connection that broke during a query", async () => {
  const broken = database.transaction().execute(async (transaction) => {
    const ended = endBackend(await backendOf(transaction));
    await Promise.all([sql`select pg_sleep(60)`.execute(transaction), ended]);
  });
  await expect(broken.catch(fromDatabase)).resolves.toMatchObject({ code: "unavailable" });
});

it("knows a connection that broke between two queries of a transaction", async () => {
  const seen = new Promise((resolve) =>
    (database as PooledDatabase).pool.once("acquire", (client) => client.once("error", resolve)),
  );
  const broken = database.transaction().execute(async (transaction) => {
    await endBackend(await backendOf(transaction));
    await seen;
    await sql`select 1`.execute(transaction);
  });
  await expect(broken.catch(fromDatabase)).resolves.toMatchObject({ code: "unavailable" });
});

it("knows a server that is away", async () => {
  const client = new pg.Client("postgres://wrenn@127.0.0.1:1/wrenn");
  client.on("error", () => undefined);
  await expect(client.connect().catch(fromDatabase)).resolves.toMatchObject({ code: "unavailable" });
});
