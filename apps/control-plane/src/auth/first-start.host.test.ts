import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { connectDatabase, type Database } from "../database/connect.ts";
import { migrate } from "../database/migrate.ts";
import { TestServer } from "../database/test-database.ts";
import { ApiKeyStore } from "./api-key-store.ts";
import { hashApiKey } from "./api-key.ts";
import { ensureFirstApiKey, type ApiKeyFile } from "./first-start.ts";
import { KeyUse } from "./key-use.ts";

let server: TestServer;
let directory: string;
let database: Database;
let file: string;

beforeAll(async () => {
  server = await TestServer.start();
});
afterAll(() => server.stop());
beforeEach(async () => {
  directory = await fs.mkdtemp(join(tmpdir(), "first-start-"));
  file = join(directory, "secrets/api-key.json");
  database = await connectDatabase({ url: await server.newDatabase(), onIdleError: () => undefined });
  await migrate(database);
});
afterEach(async () => {
  await database.destroy();
  await fs.rm(directory, { recursive: true });
});

const read = async () => JSON.parse(await fs.readFile(file, "utf8")) as ApiKeyFile;
const callerOf = async ({ api_key }: ApiKeyFile) =>
  await new ApiKeyStore(database).findByHash(hashApiKey(api_key) as Buffer);
const count = async (table: "users" | "teams" | "api_keys") =>
  (await database.selectFrom(table).select("id").execute()).length;

describe("ensureFirstApiKey()", () => {
  it("makes a user, a team that it owns, and a key that only root can read", async () => {
    expect(await ensureFirstApiKey(database, file)).toBe(true);
    const contents = await read();
    expect(await callerOf(contents)).toMatchObject({ team_id: contents.team_id });
    expect((await fs.stat(file)).mode & 0o777).toBe(0o600);
    expect((await fs.stat(join(directory, "secrets"))).mode & 0o777).toBe(0o700);
    const members = await database.selectFrom("team_members").selectAll().execute();
    expect(members).toMatchObject([{ team_id: contents.team_id, role: "owner", is_default: true }]);
  });

  it("does nothing the second time", async () => {
    await ensureFirstApiKey(database, file);
    const before = await read();
    expect(await ensureFirstApiKey(database, file)).toBe(false);
    expect(await read()).toEqual(before);
    expect(await count("api_keys")).toBe(1);
  });

  it.each([
    ["is lost", async () => await fs.rm(file)],
    ["is damaged", async () => await fs.writeFile(file, '{"api_key":')],
    [
      "holds a key of another database",
      async () => await fs.writeFile(file, JSON.stringify({ api_key: `wrn_${"0".repeat(32)}`, team_id: "x" })),
    ],
  ])("makes another key for the same team when the file %s", async (_, damage) => {
    await ensureFirstApiKey(database, file);
    const { team_id } = await read();
    await damage();
    expect(await ensureFirstApiKey(database, file)).toBe(true);
    expect(await read()).toMatchObject({ team_id });
    expect(await callerOf(await read())).toMatchObject({ team_id });
    expect([await count("teams"), await count("users")]).toEqual([1, 1]);
  });

  it("leaves nothing in the database when the file cannot be written", async () => {
    await fs.writeFile(join(directory, "secrets"), "in the way");
    await expect(ensureFirstApiKey(database, file)).rejects.toThrow(/EEXIST|ENOTDIR/);
    expect([await count("teams"), await count("users"), await count("api_keys")]).toEqual([0, 0, 0]);
  });

  it("makes one team when control planes start together", async () => {
    const made = await Promise.all(Array.from({ length: 4 }, () => ensureFirstApiKey(database, file)));
    expect(made.filter(Boolean)).toHaveLength(1);
    expect([await count("teams"), await count("api_keys")]).toEqual([1, 1]);
    expect(await callerOf(await read())).toBeDefined();
  });
});

describe("ApiKeyStore", () => {
  it("does not know a key that has expired", async () => {
    await ensureFirstApiKey(database, file);
    const contents = await read();
    await database
      .updateTable("api_keys")
      .set({ expires_at: new Date(Date.now() + 60_000).toISOString() })
      .execute();
    expect(await callerOf(contents)).toBeDefined();
    await database
      .updateTable("api_keys")
      .set({ expires_at: new Date(Date.now() - 1_000).toISOString() })
      .execute();
    expect(await callerOf(contents)).toBeUndefined();
  });
});

describe("KeyUse", () => {
  it("writes the last use of many requests at once, and never moves it backward", async () => {
    await ensureFirstApiKey(database, file);
    const caller = await callerOf(await read());
    const keys = new ApiKeyStore(database);
    const errors: unknown[] = [];
    const use = new KeyUse(keys, (error) => errors.push(error));
    for (let i = 0; i < 100; i++) use.record(caller?.id ?? "");
    const lastUsed = async () =>
      (await database.selectFrom("api_keys").select("last_used_at").executeTakeFirstOrThrow()).last_used_at;
    expect(await lastUsed()).toBeNull();
    await use.flush();
    const first = await lastUsed();
    expect(Math.abs(Date.parse(first ?? "") - Date.now())).toBeLessThan(10_000);
    await keys.recordUse(new Map([[caller?.id ?? "", new Date(0)]]));
    expect(await lastUsed()).toBe(first);
    expect(errors).toEqual([]);
  });
});
