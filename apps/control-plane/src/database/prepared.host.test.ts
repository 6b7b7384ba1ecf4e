import { sql } from "kysely";
import { afterAll, beforeAll, expect, it } from "vitest";
import { connectDatabase, type Database } from "./connect.ts";
import { migrate } from "./migrate.ts";
import { prepare, type Prepared } from "./prepared.ts";
import { TestServer } from "./test-database.ts";

interface Team {
  id: string;
  name: string;
  created_at: string;
}

let server: TestServer;
let database: Database;
let teamsNamed: Prepared<[name: string, limit: number], Team>;

const id = (n: number): string => `team_${String(n).padStart(20, "0")}`;
const prepareIn = (on: Database): typeof teamsNamed =>
  prepare(on, "teams_named", (name, limit) =>
    on
      .selectFrom("teams")
      .select(["id", "name", "created_at"])
      .where("deleted_at", "is", null)
      .where("id", "<>", "team_none")
      .where("name", "=", name)
      .orderBy("id")
      .limit(limit),
  );

beforeAll(async () => {
  server = await TestServer.start();
  // one connection: what it has prepared is used again
  database = await connectDatabase({ url: await server.newDatabase(), poolSize: 1, onIdleError: () => undefined });
  await migrate(database);
  for (const [teamId, name] of Object.entries({ [id(1)]: "a", [id(2)]: "a", [id(3)]: "b" }))
    await database.insertInto("teams").values({ id: teamId, name }).execute();
  teamsNamed = prepareIn(database);
});
afterAll(async () => {
  await database.destroy();
  await server.stop();
});

const idsOf = (teams: readonly Team[]): string[] => teams.map((team) => team.id);

it("puts each value where it belongs, and reads rows as every query does", async () => {
  expect(idsOf(await teamsNamed("a", 9))).toEqual([id(1), id(2)]);
  expect(idsOf(await teamsNamed("a", 1))).toEqual([id(1)]);
  expect(await teamsNamed("b", 9)).toEqual([
    { id: id(3), name: "b", created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT[\d:]{8}\.\d{6}Z$/) as string },
  ]);
  const { rows } = await sql<{ name: string }>`select name from pg_prepared_statements`.execute(database);
  expect(rows).toEqual([{ name: "teams_named" }]);
});

it("goes on when a newer release adds a column", async () => {
  await sql`alter table teams add column colour text`.execute(database);
  expect(idsOf(await teamsNamed("a", 9))).toEqual([id(1), id(2)]);
});

it("sees in a transaction what that has changed", async () => {
  await database.transaction().execute(async (transaction) => {
    await transaction
      .insertInto("teams")
      .values({ id: id(4), name: "b" })
      .execute();
    expect(idsOf(await prepareIn(transaction)("b", 9))).toEqual([id(3), id(4)]);
  });
});

it("goes on with the connections that follow a restart of the server", async () => {
  await server.restart();
  await teamsNamed("a", 9).catch(() => undefined); // the one that broke
  expect(idsOf(await teamsNamed("a", 9))).toEqual([id(1), id(2)]);
});
