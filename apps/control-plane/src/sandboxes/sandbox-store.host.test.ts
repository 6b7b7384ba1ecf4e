import * as fc from "fast-check";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { connectDatabase, type Database } from "../database/connect.ts";
import { newId } from "../database/ids.ts";
import { migrate } from "../database/migrate.ts";
import type { SandboxRow } from "../database/tables.ts";
import { TestServer } from "../database/test-database.ts";
import { newSandboxRow } from "../database/test-rows.ts";
import { cutPage, decodeCursor } from "../http/cursor.ts";
import { HostStore } from "../hosts/host-store.ts";
import { TemplateStore } from "../templates/template-store.ts";
import { SandboxStore } from "./sandbox-store.ts";
import { SANDBOX_STATES, TRANSITIONS, type SandboxState } from "./state.ts";

let server: TestServer;
let database: Database;
let store: SandboxStore;
let teamId: string;
let hostId: string;
const buildId = newId("bld_");

beforeAll(async () => {
  server = await TestServer.start();
  database = await connectDatabase({ url: await server.newDatabase(), onIdleError: () => undefined });
  await migrate(database);
  store = new SandboxStore(database);
  teamId = await newTeam();
  hostId = await new HostStore(database).ensure("local", "unix:/nowhere");
  await new TemplateStore(database).upsertBuiltin(hostId, [
    { name: "base", buildId, vcpus: 1, memoryMib: 512, diskMib: 2_048, sizeBytes: 1 },
  ]);
});
afterAll(async () => {
  await database.destroy();
  await server.stop();
});

async function newTeam(): Promise<string> {
  const id = newId("team_");
  await database.insertInto("teams").values({ id, name: "Team" }).execute();
  return id;
}

async function insert(team = teamId): Promise<SandboxRow> {
  return await store.insert(
    newSandboxRow({
      team_id: team,
      host_id: hostId,
      template_build_id: buildId,
      max_lifetime_sec: 60,
      on_timeout: "pause",
      metadata: JSON.stringify({ a: "b" }),
    }),
  );
}

const state = fc.constantFrom(...SANDBOX_STATES);

describe("SandboxStore.transition()", () => {
  it("does what the table says, like a model of one row", async () => {
    const step = fc.record({
      to: state,
      /** Whether the caller knows the row as it is, or as it was before its last change. */
      knows: fc.constantFrom<"now" | "before">("now", "now", "before"),
      advance: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 12 }), async (steps) => {
        let model = await insert();
        let before: SandboxRow | undefined;
        for (const { to, knows, advance } of steps) {
          const seen = knows === "before" ? before : model;
          if (seen === undefined) continue;
          const from = [seen.state].filter((s) => TRANSITIONS[s].includes(to));
          if (from.length === 0) continue;
          const change = { to, ...(advance ? { incarnation: seen.incarnation + 1 } : {}) };
          const changed = await store.transition(model.id, change, {
            from,
            incarnation: seen.incarnation,
            updatedAt: seen.updated_at,
          });
          expect(changed !== undefined).toBe(seen === model);
          if (changed === undefined) continue;
          expect(changed).toMatchObject({ state: to, incarnation: seen.incarnation + (advance ? 1 : 0) });
          before = model;
          model = changed;
        }
        expect(await store.find(teamId, model.id)).toEqual(model);
      }),
      { numRuns: 60 },
    );
  });

  it("refuses a change that the table does not have, whatever the row is", async () => {
    const row = await insert();
    await fc.assert(
      fc.asyncProperty(state, state, async (from, to) => {
        fc.pre(!TRANSITIONS[from].includes(to));
        await expect(store.transition(row.id, { to }, { from: [from] })).rejects.toThrow("no such transition");
      }),
    );
  });

  it("lets exactly one of many win", async () => {
    for (let round = 0; round < 5; round++) {
      const row = await insert();
      await store.transition(row.id, { to: "running" });
      const attempts = Array.from({ length: 12 }, (_, i): Promise<SandboxRow | undefined> =>
        store.transition(row.id, { to: i % 2 === 0 ? "pausing" : "failed" }, { from: ["running"], incarnation: 1 }),
      );
      expect((await Promise.all(attempts)).filter((changed) => changed !== undefined)).toHaveLength(1);
    }
  });

  it("starts the clock when the guest begins to run, and leaves it alone when a pause failed", async () => {
    const row = await insert();
    expect([row.started_at, row.end_at]).toEqual([null, null]);
    const running = await store.transition(row.id, { to: "running" });
    expect(Date.parse(running?.end_at ?? "") - Date.parse(running?.started_at ?? "")).toBe(60_000);
    await store.transition(row.id, { to: "pausing" });
    const thawed = await store.transition(row.id, { to: "running" });
    expect(thawed).toMatchObject({ started_at: running?.started_at, end_at: running?.end_at });
    await store.transition(row.id, { to: "pausing" });
    expect(await store.transition(row.id, { to: "paused", resumable: true })).toMatchObject({
      end_at: null,
      resumable: true,
    });
    const gone = await store.transition(row.id, { to: "gone", reason: "over" });
    expect(gone?.reason).toBe("over");
    expect(gone?.ended_at).not.toBeNull();
  });

  it("clears the reason of the state before", async () => {
    const row = await insert();
    await store.transition(row.id, { to: "failed", reason: "because" });
    expect(await store.transition(row.id, { to: "resuming", incarnation: 2 })).toMatchObject({
      reason: null,
      incarnation: 2,
    });
  });
});

describe("SandboxStore.page()", () => {
  it("shows every sandbox of the team once, newest first, also those made in the same microsecond", async () => {
    const team = await newTeam();
    const rows = await Promise.all(Array.from({ length: 11 }, () => insert(team)));
    await sql`update sandboxes set created_at = '2026-11-22 00:00:00.123456+00' where id = any(${rows.slice(0, 6).map((row) => row.id)})`.execute(
      database,
    );
    const seen: string[] = [];
    let cursor: string | undefined;
    do {
      const found = await store.page(team, {
        limit: 4,
        ...(cursor === undefined ? {} : { after: decodeCursor(cursor) }),
      });
      const { page, next } = cutPage(found, 3);
      seen.push(...page.map((row) => row.id));
      cursor = next;
    } while (cursor !== undefined);
    const sorted = await sql<{
      id: string;
    }>`select id from sandboxes where team_id = ${team} order by created_at desc, id`.execute(database);
    expect(seen).toEqual(sorted.rows.map((row) => row.id));
    expect(new Set(seen).size).toBe(11);
  });

  it("hides what is gone unless it is asked for", async () => {
    const team = await newTeam();
    const [a, b] = [await insert(team), await insert(team)];
    await store.transition(a.id, { to: "gone" });
    const ids = async (states?: SandboxState[]) =>
      (await store.page(team, { limit: 10, ...(states === undefined ? {} : { states }) })).map((row) => row.id);
    expect(await ids()).toEqual([b.id]);
    expect(await ids(["gone"])).toEqual([a.id]);
    expect(await ids(["running", "paused"])).toEqual([]);
  });

  it("reads a page by its index", async () => {
    await database.transaction().execute(async (transaction) => {
      // with a handful of rows a sort is as cheap: the question is whether the index can do without one
      await sql`set local enable_seqscan = off`.execute(transaction);
      await sql`set local enable_sort = off`.execute(transaction);
      const { rows } = await sql<{ "QUERY PLAN": string }>`
        explain select * from sandboxes where team_id = ${teamId} and state <> 'gone' order by created_at desc, id limit 10`.execute(
        transaction,
      );
      const plan = rows.map((row) => row["QUERY PLAN"]).join("\n");
      expect(plan).toContain("sandboxes_page");
      expect(plan).not.toContain("Sort");
    });
  });
});

describe("SandboxStore", () => {
  it("sets both deadlines apart, and brings none nearer when it is only to extend", async () => {
    const { id } = await insert();
    await store.transition(id, { to: "running" });
    const set = async (idleTimeoutSec: number | undefined, endInSec: number | null | undefined, onlyExtend = false) => {
      const row = await store.setDeadlines(teamId, id, { idleTimeoutSec, endInSec, onlyExtend });
      const endsInSec = row?.end_at == null ? null : (Date.parse(row.end_at) - Date.now()) / 1_000;
      return [
        row?.idle_timeout_sec,
        endsInSec === null ? null : Math.round(endsInSec / 10) * 10,
        row?.max_lifetime_sec,
      ];
    };
    expect(await set(100, undefined)).toEqual([100, 60, 60]);
    expect(await set(undefined, 500)).toEqual([100, 500, 500]);
    expect(await set(50, 300, true)).toEqual([100, 500, 500]);
    expect(await set(200, 900, true)).toEqual([200, 900, 900]);
    expect(await set(0, undefined, true)).toEqual([0, 900, 900]);
    expect(await set(50, null, true)).toEqual([0, null, null]);
    expect(await set(50, 300, true)).toEqual([0, null, null]);
    expect(await set(50, 300)).toEqual([50, 300, 300]);
  });

  it("finds sandboxes by template and by all of the labels", async () => {
    const labelled = await insert();
    await database
      .updateTable("sandboxes")
      .set({ metadata: JSON.stringify({ user: "anna", app: "a=b&c" }) })
      .where("id", "=", labelled.id)
      .execute();
    const found = async (options: { template?: string; metadata?: Record<string, string> }) =>
      (await store.page(teamId, { limit: 100, ...options })).some(({ id }) => id === labelled.id);
    expect(await found({ metadata: { user: "anna" } })).toBe(true);
    expect(await found({ metadata: { user: "anna", app: "a=b&c" } })).toBe(true);
    expect(await found({ metadata: { user: "anna", app: "x" } })).toBe(false);
    expect(await found({ metadata: { user: "an" } })).toBe(false);
    expect(await found({ template: labelled.template_name })).toBe(true);
    expect(await found({ template: "other" })).toBe(false);
  });

  it("shows a team nothing of another", async () => {
    const row = await insert();
    const other = await newTeam();
    expect(await store.find(other, row.id)).toBeUndefined();
    expect(await store.page(other, { limit: 10 })).toEqual([]);
    await store.transition(row.id, { to: "running" });
    const change = { idleTimeoutSec: 1, onlyExtend: false };
    expect(await store.setDeadlines(other, row.id, change)).toBeUndefined();
    expect(await store.setDeadlines(teamId, row.id, change)).toMatchObject({ idle_timeout_sec: 1 });
  });

  it("moves activity forward only, without touching what decisions are fenced by", async () => {
    const row = await insert();
    await store.recordActivity(new Map([[row.id, "2020-01-02T00:00:00.000Z"]]));
    await store.recordActivity(new Map([[row.id, "2020-01-01T00:00:00.000Z"]]));
    expect(await store.find(teamId, row.id)).toMatchObject({
      last_active_at: "2020-01-02T00:00:00.000000Z",
      updated_at: row.updated_at,
    });
    // a clock that is ahead moves it no further than now
    await store.recordActivity(new Map([[row.id, "2999-01-01T00:00:00.000Z"]]));
    const found = await store.find(teamId, row.id);
    expect(Math.abs(Date.parse(found?.last_active_at ?? "") - Date.now())).toBeLessThan(60_000);
  });

  it("tells the age by the database's clock", async () => {
    const row = await insert();
    await sql`update sandboxes set updated_at = updated_at - interval '90 seconds' where id = ${row.id}`.execute(
      database,
    );
    const found = await store.findAny(row.id);
    expect(found?.ageMs).toBeGreaterThan(89_000);
    expect((await store.ofHost(hostId)).find((entry) => entry.row.id === row.id)?.ageMs).toBeGreaterThan(89_000);
  });
});
