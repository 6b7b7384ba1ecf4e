import { readFileSync } from "node:fs";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { connectDatabase, type Database } from "./connect.ts";
import { newId } from "./ids.ts";
import { migrate, MIGRATION_NAMES } from "./migrate.ts";
import { TestServer } from "./test-database.ts";

let server: TestServer;
let url: string;
let open: Database[];

beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server.stop());
beforeEach(async () => {
  url = await server.newDatabase();
  open = [];
});
afterEach(async () => {
  for (const database of open) await database.destroy();
});

async function connect(): Promise<Database> {
  const database = await connectDatabase({ url, poolSize: 2, onIdleError: () => undefined });
  open.push(database);
  return database;
}

describe("migrate()", () => {
  it("makes the schema, and does nothing the second time", async () => {
    const database = await connect();
    expect(await migrate(database)).toEqual(MIGRATION_NAMES);
    expect(await migrate(database)).toEqual([]);
  });

  it("lets control planes that start together wait for each other", async () => {
    const databases = await Promise.all([connect(), connect(), connect()]);
    const made = await Promise.all(databases.map((database) => migrate(database)));
    expect(made.flat()).toEqual(MIGRATION_NAMES);
  });

  it("refuses a database of a newer release", async () => {
    const database = await connect();
    await migrate(database);
    await sql`insert into kysely_migration (name, timestamp) values ('9999-from-the-future', now()::text)`.execute(
      database,
    );
    await expect(migrate(database)).rejects.toMatchObject({
      code: "internal",
      message: expect.stringContaining("9999-from-the-future"),
    });
  });

  it("makes the tables that docs/reference/database.md describes, and no others", async () => {
    const database = await connect();
    await migrate(database);
    const { rows } = await sql<{
      name: string;
    }>`select tablename as name from pg_tables where schemaname = 'public'`.execute(database);
    const text = readFileSync(new URL("../../../../docs/reference/database.md", import.meta.url), "utf8");
    for (const { name } of rows) expect(text).toContain(`\`${name}\``);
    const described = [...text.matchAll(/^\| `([a-z_]+)` \| [A-Z].*\|.*\|$/gm)].map((match) => match[1]);
    for (const name of described) expect(rows.map((row) => row.name)).toContain(name);
    expect(described.length).toBeGreaterThan(15);
  });

  it("has an index for every foreign key, so that deletes do not scan", async () => {
    const database = await connect();
    await migrate(database);
    const { rows } = await sql<{ name: string }>`
      select conrelid::regclass || '.' || attname as name
      from pg_constraint
      join pg_attribute on attrelid = conrelid and attnum = conkey[1]
      where contype = 'f' and confdeltype <> 'r' and array_length(conkey, 1) = 1
        and not exists (select from pg_index where indrelid = conrelid and indkey[0] = conkey[1])
      order by 1`.execute(database);
    // rows of these are few and their parents are hardly ever deleted
    const accepted = [
      "layers.sandbox_id",
      "snapshots.sandbox_id",
      "team_invitations.accepted_by",
      "team_invitations.created_by",
      "api_keys.created_by",
      "templates.created_by",
      "template_builds.created_by",
      "webhooks.created_by",
    ];
    expect(rows.map((row) => row.name).filter((name) => !accepted.includes(name))).toEqual([]);
  });
});

describe("the schema", () => {
  it("lets a name be used once per team, once for built-in templates, and again when it was deleted", async () => {
    const database = await connect();
    await migrate(database);
    const teams = [newId("team_"), newId("team_")] as const;
    for (const id of teams) await database.insertInto("teams").values({ id, name: "Team" }).execute();
    const add = (teamId: string | null) =>
      database
        .insertInto("templates")
        .values({ id: newId("tpl_"), team_id: teamId, name: "base" })
        .execute();
    await add(null);
    await add(teams[0]);
    await add(teams[1]);
    await expect(add(null)).rejects.toMatchObject({ cause: { code: "23505", constraint: "templates_name" } });
    await expect(add(teams[0])).rejects.toMatchObject({ cause: { code: "23505", constraint: "templates_name" } });
    await database
      .updateTable("templates")
      .set({ deleted_at: new Date().toISOString() })
      .where("team_id", "=", teams[0])
      .execute();
    await add(teams[0]);
  });
});

describe("connectDatabase()", () => {
  it("gives timestamps with their microseconds, in UTC", async () => {
    const database = await connect();
    const { rows } = await sql<{
      at: string;
      n: number;
    }>`select '2026-11-22 03:04:05.12+01'::timestamptz as at, 9007199254740991::bigint as n`.execute(database);
    expect(rows).toEqual([{ at: "2026-11-22T02:04:05.120000Z", n: 9_007_199_254_740_991 }]);
  });

  it("says what to do when nobody answers", async () => {
    const nowhere = connectDatabase({ url: "postgresql:///x?host=/nonexistent&user=x", onIdleError: () => undefined });
    await expect(nowhere).rejects.toMatchObject({ code: "unavailable", hint: expect.stringContaining("DATABASE_URL") });
  });
});
