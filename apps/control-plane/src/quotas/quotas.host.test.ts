/** Quotas on a real database: what is counted, and that requests at once do not get past a limit. */
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { sql } from "kysely";
import { newId } from "../database/ids.ts";
import { TestServer } from "../database/test-database.ts";
import { newSandboxRow } from "../database/test-rows.ts";
import { request } from "../test-account.ts";
import { startTestApp, type TestApp } from "../test-app.ts";

let server: TestServer;
let test: TestApp;
const buildId = newId("bld_");

beforeAll(async () => {
  server = await TestServer.start();
  test = await startTestApp(await server.newDatabase(), { WRENN_TEAM_MAX_VCPUS: "16" });
  const { services } = test;
  await services.templates.upsertBuiltin(services.hosts.current().id, [
    { name: "base", buildId, vcpus: 1, memoryMib: 512, diskMib: 2_048, sizeBytes: 5_000_000_000 },
  ]);
});
afterAll(async () => {
  await test.stop();
  await server.stop();
});
beforeEach(async () => {
  await sql`delete from sandboxes`.execute(test.services.database);
  await setQuotas({ running_sandboxes: null, vcpus: null, memory_mb: null, snapshot_bytes: null });
});

const operator = () => ({ "x-api-key": test.apiKey });
const setQuotas = async (quotas: object) =>
  await request(test.app, "PUT", `/v1/teams/${test.teamId}/quotas`, operator(), quotas);
const usage = async () => (await request(test.app, "GET", `/v1/teams/${test.teamId}/usage`, operator())).body;

const row = (state: "creating" | "running" | "paused") =>
  newSandboxRow({
    team_id: test.teamId,
    host_id: test.services.hosts.current().id,
    template_build_id: buildId,
    vcpus: 2,
    memory_mib: 1_024,
    resumable: state === "paused",
  });

async function insert(state: "creating" | "running" | "paused"): Promise<string> {
  const { id } = await test.services.sandboxes.insert(row(state));
  if (state !== "creating") await test.services.sandboxes.transition(id, { to: state });
  return id;
}

/** Adds a sandbox as a create does, and tells how that went. */
const admit = async () =>
  await test.services.quotas
    .admit(test.teamId, { runningSandboxes: 1, vcpus: 2, memoryMib: 1_024 }, async (transaction) => {
      await transaction.insertInto("sandboxes").values(row("creating")).execute();
      return "admitted";
    })
    .catch((error: { code: string }) => error.code);

describe("quotas", () => {
  it("count what has a VM or is about to, and tell a limit only where there is one", async () => {
    await insert("creating");
    await insert("running");
    await insert("paused");
    expect(await usage()).toEqual({
      running_sandboxes: { used: 2 },
      vcpus: { used: 4, limit: 16 },
      memory_mb: { used: 2_048 },
      snapshot_bytes: { used: 0 },
    });
    expect((await setQuotas({ vcpus: 8, memory_mb: 0 })).body).toMatchObject({
      vcpus: { used: 4, limit: 8 },
      memory_mb: { used: 2_048, limit: 0 },
    });
    expect((await setQuotas({ memory_mb: null })).body).toMatchObject({
      vcpus: { limit: 8 },
      memory_mb: { used: 2_048 },
    });
  });

  it.each([
    [{ running_sandboxes: 3 }, 3],
    [{ vcpus: 7 }, 3],
    [{ memory_mb: 5 * 1_024 }, 5],
    [{ running_sandboxes: 0 }, 0],
  ])("let nobody past %j, however many ask at once", async (quotas, most) => {
    await setQuotas(quotas);
    const outcomes = await Promise.all(Array.from({ length: 15 }, admit));
    expect(outcomes.filter((outcome) => outcome === "admitted")).toHaveLength(most);
    expect(new Set(outcomes.filter((outcome) => outcome !== "admitted"))).toEqual(new Set(["quota_exceeded"]));
    expect((await usage()).running_sandboxes.used).toBe(most);
  });

  it("hold for creates, forks and resumes through the API, with an error that says what is used", async () => {
    const running = await insert("running");
    const paused = await insert("paused");
    await setQuotas({ running_sandboxes: 1 });
    const refused = {
      status: 429,
      headers: { "retry-after": "10" },
      body: { error: { code: "quota_exceeded", message: "Cannot take 1 more: the team has 1 of 1 running sandboxes" } },
    };
    expect(await request(test.app, "POST", "/v1/sandboxes", operator(), {})).toMatchObject(refused);
    expect(await request(test.app, "POST", `/v1/sandboxes/${paused}/resume`, operator())).toMatchObject(refused);
    expect(await request(test.app, "POST", `/v1/sandboxes/${running}/fork`, operator(), {})).toMatchObject(refused);
    const all = await test.services.sandboxes.page(test.teamId, { limit: 100 });
    expect(all.map(({ id, state }) => ({ id, state }))).toEqual(
      expect.arrayContaining([
        { id: running, state: "running" },
        { id: paused, state: "paused" },
      ]),
    );
    expect(all).toHaveLength(2);
  });

  it("hold for snapshots, which count with their sandbox's memory until they have a size", async () => {
    const running = await insert("running");
    const snapshot = async () =>
      (await request(test.app, "POST", "/v1/snapshots", operator(), { sandbox_id: running })).body.error.code;
    await setQuotas({ snapshot_bytes: 1_024 * 1_048_576 - 1 });
    expect(await snapshot()).toBe("quota_exceeded");
    await setQuotas({ snapshot_bytes: 1_024 * 1_048_576 });
    expect(await snapshot()).toBe("agent_unavailable");
    expect((await usage()).snapshot_bytes.used).toBe(0);
  });

  it("hold for pauses and forks: a layer counts with the memory until it is written, then with its own bytes", async () => {
    const { database, sandboxes } = test.services;
    const [running, paused] = [await insert("running"), await insert("paused")];
    const memoryBytes = 1_024 * 1_048_576;
    await sandboxes.recordStored(new Map([[paused, 3_000]]));
    expect((await usage()).snapshot_bytes.used).toBe(3_000);
    const operations = [`${running}/pause`, `${paused}/fork`];
    const codes = async () =>
      await Promise.all(
        operations.map(async (path) => {
          const answer = await request(test.app, "POST", `/v1/sandboxes/${path}`, operator(), {});
          return [answer.status, answer.body.error.code, answer.headers["retry-after"]];
        }),
      );
    await setQuotas({ snapshot_bytes: memoryBytes + 2_999 });
    expect(await codes()).toEqual(operations.map(() => [429, "quota_exceeded", "10"]));
    expect(await sandboxes.find(test.teamId, running)).toMatchObject({ state: "running" });
    await setQuotas({ snapshot_bytes: 2 * memoryBytes + 3_000 });
    expect(await codes()).toEqual(operations.map(() => [502, "agent_unavailable", undefined]));
    // the pause has not come back: nobody knows yet how large its layer is
    expect((await usage()).snapshot_bytes.used).toBe(memoryBytes + 3_000);
    await sql`update sandboxes set state = 'gone', ended_at = now()`.execute(database);
    expect((await usage()).snapshot_bytes.used).toBe(0);
  });

  it.each([[{ vcpus: -1 }], [{ vcpus: 1.5 }], [{ vcpus: 2 ** 31 }], [{ memory_mb: "1" }], [{ disk: 1 }]])(
    "refuse %j as a setting",
    async (quotas) => {
      expect(await setQuotas(quotas)).toMatchObject({ status: 400, body: { error: { code: "invalid_request" } } });
    },
  );
});
