/** Keys are remembered for a moment (api-key-cache.ts), and end at once all the same: on two control planes. */
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { TestServer } from "../database/test-database.ts";
import { request } from "../test-account.ts";
import { startTestApp, type TestApp } from "../test-app.ts";

let server: TestServer;
let one: TestApp;
let other: TestApp;

beforeAll(async () => {
  server = await TestServer.start();
  const database = await server.newDatabase();
  one = await startTestApp(database);
  other = await startTestApp(database);
  for (const { services } of [one, other]) services.notifications.start();
  await vi.waitUntil(async () => (await listeners()) === 2, { timeout: 20_000 });
});
afterAll(async () => {
  await other?.stop();
  await one?.stop();
  await server.stop();
});

/** Settles when both control planes have heard of a change of keys. @param own how often the first one tells itself */
async function heard(own: number, change: () => Promise<unknown>): Promise<void> {
  const forgets = [one, other].map(({ services }) => vi.spyOn(services.keyCache, "forget"));
  await change();
  const times = () => forgets.map((forget) => forget.mock.calls.length);
  await vi.waitFor(() => expect(times()).toEqual([own + 1, 1]), { timeout: 20_000 });
  for (const forget of forgets) forget.mockRestore();
}

async function listeners(): Promise<number> {
  const { rows } = await sql<{ count: number }>`
    select count(*)::int as count from pg_stat_activity
    where application_name = 'wrenn-notifications' and query like 'listen%'`.execute(one.services.database);
  return rows[0]?.count ?? 0;
}

/** A new key of the team, used on both a moment ago. */
async function keyInUse(): Promise<{ id: string; use: (test: TestApp) => Promise<number> }> {
  const { row, key } = await one.services.keys.create({
    teamId: one.teamId,
    name: "key",
    scopes: ["sandboxes:read"],
    createdBy: null,
    lifetimeSec: undefined,
  });
  const use = async ({ app }: TestApp) => (await request(app, "GET", "/v1/sandboxes", { "x-api-key": key })).status;
  for (const test of [one, other, one, other]) expect(await use(test)).toBe(200);
  return { id: row.id, use };
}

describe("a key", () => {
  it("that was used is not looked up again at once", async () => {
    const find = vi.spyOn(one.services.keys, "findByHash");
    const { use } = await keyInUse();
    const before = find.mock.calls.length;
    for (let n = 0; n < 10; n++) await use(one);
    expect(find.mock.calls.length - before).toBeLessThan(10);
    find.mockRestore();
  });

  it("that is deleted ends at once where it is deleted, and is heard of elsewhere", async () => {
    const { id, use } = await keyInUse();
    await heard(1, async () => {
      const deleted = await request(one.app, "DELETE", `/v1/api-keys/${id}`, { "x-api-key": one.apiKey });
      expect(deleted.status).toBe(204);
      expect(await use(one)).toBe(401);
    });
    expect(await use(other)).toBe(401);
  });

  it("that is deleted by a hand in the database ends too", async () => {
    const { id, use } = await keyInUse();
    await heard(0, () => one.services.database.deleteFrom("api_keys").where("id", "=", id).execute());
    expect(await use(one)).toBe(401);
    expect(await use(other)).toBe(401);
  });

  it("is looked up every time while nothing is heard from the database", async () => {
    const { id, use } = await keyInUse();
    await other.services.notifications.stop();
    await one.services.database.deleteFrom("api_keys").where("id", "=", id).execute();
    expect(await use(other)).toBe(401);
  });
});
