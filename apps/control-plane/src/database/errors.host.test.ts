import { sql } from "kysely";
import pg from "pg";
import { afterAll, beforeAll, expect, it } from "vitest";
import { connectDatabase, type Database } from "./connect.ts";
import { PooledDatabase, prepare } from "./prepared.ts";
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
  await expect(broken).rejects.toMatchObject({ code: "unavailable" });
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
  await expect(broken).rejects.toMatchObject({ code: "unavailable" });
});

it("knows a server that is away, in whichever way it is asked", async () => {
  const away = new PooledDatabase(new pg.Pool({ connectionString: "postgres://wrenn@127.0.0.1:1/wrenn" }));
  const teams = away.selectFrom("teams").select("id");
  const prepared = prepare(away, "teams", () => teams);
  for (const ask of [
    () => teams.execute(),
    () => prepared(),
    () => away.transaction().execute(async (transaction) => await sql`select 1`.execute(transaction)),
  ])
    await expect(ask()).rejects.toMatchObject({ code: "unavailable" });
  await away.destroy();
});

it("leaves alone what is thrown within a transaction, and takes it back", async () => {
  const work = database.transaction().execute(async (transaction) => {
    await sql`create table taken_back ()`.execute(transaction);
    throw Object.assign(new Error("a file of ours"), { code: "ENOENT" });
  });
  await expect(work).rejects.toMatchObject({ code: "ENOENT" });
  await expect(sql`select from taken_back`.execute(database)).rejects.toMatchObject({ cause: { code: "42P01" } });
});
