/** Snapshots, templates and forks over the API: two teams on a real database, with the model of a host. */
import { createHash, randomBytes } from "node:crypto";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import type { Fault, ModelHost } from "../agent/model-host.ts";
import { newId } from "../database/ids.ts";
import { TestServer } from "../database/test-database.ts";
import type { Services } from "../services.ts";
import { startTestAppWithHost } from "../test-app.ts";

/** How much later than promised something may happen on a busy machine. */
const PATIENCE_MS = 20_000;

let server: TestServer;
let test: Awaited<ReturnType<typeof startTestAppWithHost>>;
let host: ModelHost;
let services: Services;
/** Keys of two teams. */
let ours: string;
let theirs: string;

beforeAll(async () => {
  server = await TestServer.start();
  test = await startTestAppWithHost(await server.newDatabase());
  ({ host, services } = test);
  [ours, theirs] = await Promise.all([newTeamKey(), newTeamKey()]);
});
afterAll(async () => {
  await test.stop();
  await server.stop();
});

async function newTeamKey(): Promise<string> {
  const key = `wrn_${randomBytes(16).toString("hex")}`;
  const teamId = newId("team_");
  await services.database.insertInto("teams").values({ id: teamId, name: "Team" }).execute();
  const hash = createHash("sha256").update(key).digest();
  await services.database
    .insertInto("api_keys")
    .values({ id: newId("key_"), team_id: teamId, name: "k", key_hash: hash, key_prefix: "wrn_", created_by: null })
    .execute();
  return key;
}

async function ask(key: string, method: "GET" | "POST" | "DELETE", url: string, payload?: object) {
  const headers = { "x-api-key": key };
  const answer = await test.app.inject({ method, url, headers, ...(payload === undefined ? {} : { payload }) });
  return { status: answer.statusCode, body: answer.body === "" ? undefined : answer.json<any>() };
}
const sandbox = async (key: string, body: object = {}): Promise<string> => {
  const { status, body: made } = await ask(key, "POST", "/v1/sandboxes", body);
  expect({ status, made }).toMatchObject({ status: 201 });
  return made.id;
};
const snapshot = async (key: string, id: string, name?: string, query = "") =>
  await ask(key, "POST", `/v1/snapshots${query}`, { sandbox_id: id, ...(name === undefined ? {} : { name }) });
const names = async (key: string, path = "/v1/snapshots"): Promise<string[]> =>
  (await ask(key, "GET", path)).body.map((one: { name: string }) => one.name).sort();

/** What becomes of the next call that changes something on the host; none is under way then. */
async function meet(fault: Fault): Promise<void> {
  await services.snapshots.sweep();
  host.faults = [fault];
}

describe("POST /v1/snapshots", () => {
  it("makes a template that sandboxes are made from, with its machine whatever is asked for", async () => {
    const source = await sandbox(ours, { memory_mb: 256 });
    const made = await snapshot(ours, source, "web");
    expect(made).toMatchObject({ status: 201, body: { name: "web", type: "snapshot", vcpus: 1, memory_mb: 256 } });
    const child = await ask(ours, "POST", "/v1/sandboxes", {
      template: "web",
      vcpus: 2,
      memory_mb: 1024,
      disk_mb: 9_000,
    });
    expect(child).toMatchObject({ status: 201, body: { template: "web", vcpus: 1, memory_mb: 256, disk_mb: 2_048 } });
    expect((await ask(ours, "GET", "/v1/templates/web")).body).toMatchObject({ sandboxes: 1, size_bytes: 4_096 });
    expect((await ask(ours, "POST", "/v1/snapshots/web/verify")).body).toMatchObject({ name: "web", intact: true });
    const unnamed = await snapshot(ours, source);
    expect(unnamed.body.name).toMatch(/^template-[0-9a-f]{8}$/);
    await ask(ours, "DELETE", `/v1/snapshots/${unnamed.body.name}`);
  });

  it.each(["../../etc", "..", "a/b", "a%2fb", "UPPER", "", "-x", ".hidden", "a".repeat(65), "a b", "é", "a\u0000b"])(
    "refuses the name %j",
    async (name) => {
      expect(await snapshot(ours, await sandbox(ours), name)).toMatchObject({
        status: 400,
        body: { error: { code: "invalid_request" } },
      });
    },
  );

  it("never shadows a built-in template, even with overwrite", async () => {
    const source = await sandbox(ours);
    for (const query of ["", "?overwrite=true"]) {
      expect(await snapshot(ours, source, "base", query)).toMatchObject({
        status: 409,
        body: { error: { code: "already_exists" } },
      });
    }
    expect((await ask(ours, "GET", "/v1/templates/base")).body.type).toBe("base");
  });

  it("keeps two teams apart that use one name", async () => {
    const [mine, other] = [await sandbox(ours), await sandbox(theirs, { memory_mb: 1024 })];
    expect((await snapshot(ours, mine, "shared")).status).toBe(201);
    expect(await names(theirs)).not.toContain("shared");
    expect((await ask(theirs, "GET", "/v1/templates/shared")).status).toBe(404);
    expect((await ask(theirs, "POST", "/v1/sandboxes", { template: "shared" })).status).toBe(404);
    expect((await ask(theirs, "DELETE", "/v1/snapshots/shared")).status).toBe(404);
    expect((await ask(theirs, "POST", "/v1/snapshots/shared/verify")).status).toBe(404);
    // nor does one make anything of the other's sandbox
    expect((await snapshot(theirs, mine, "stolen")).status).toBe(404);
    expect((await ask(theirs, "POST", `/v1/sandboxes/${mine}/fork`, {})).status).toBe(404);
    expect((await snapshot(theirs, other, "shared", "?overwrite=true")).status).toBe(201);
    expect((await ask(ours, "GET", "/v1/templates/shared")).body.memory_mb).toBe(512);
    expect((await ask(theirs, "GET", "/v1/templates/shared")).body.memory_mb).toBe(1024);
    expect((await ask(theirs, "DELETE", "/v1/snapshots/shared")).status).toBe(204);
    expect((await ask(ours, "POST", "/v1/sandboxes", { template: "shared" })).status).toBe(201);
  });

  it("overwrites only when told to, in one step; what was made before keeps its build", async () => {
    const source = await sandbox(ours);
    const first = (await snapshot(ours, source, "again")).body;
    const child = await sandbox(ours, { template: "again" });
    expect(await snapshot(ours, source, "again")).toMatchObject({
      status: 409,
      body: { error: { code: "already_exists" } },
    });
    const second = (await snapshot(ours, source, "again", "?overwrite=true")).body;
    expect(second.id).toBe(first.id);
    expect(second.build_id).not.toBe(first.build_id);
    await services.snapshots.sweep();
    expect([...host.builds.keys()]).not.toContain(first.build_id); // the host was told; it keeps what is in use
    expect((await ask(ours, "GET", `/v1/sandboxes/${child}`)).body.status).toBe("running");
    expect(host.sandboxes.get(child)?.templateBuildId).toBe(first.build_id);
    expect(host.sandboxes.get(await sandbox(ours, { template: "again" }))?.templateBuildId).toBe(second.build_id);
  });

  it("keeps the old template when the sandbox does not exist or the host cannot do it", async () => {
    const source = await sandbox(ours);
    const { build_id: before } = (await snapshot(ours, source, "kept")).body;
    expect((await snapshot(ours, newId("sb"), "kept", "?overwrite=true")).status).toBe(404);
    for (const fault of ["refuse", "lose-answer", "lose-call"] as const) {
      await meet(fault);
      expect((await snapshot(ours, source, "kept", "?overwrite=true")).status).toBeGreaterThanOrEqual(500);
      host.faults = [];
      expect((await ask(ours, "GET", "/v1/templates/kept")).body.build_id).toBe(before);
      expect((await ask(ours, "GET", `/v1/sandboxes/${source}`)).body.status).toBe("running");
    }
    await services.snapshots.sweep();
    const kinds = await services.database.selectFrom("host_template_builds").select("build_id").execute();
    expect([...host.builds.keys()].filter((id) => !kinds.some((row) => row.build_id === id))).toEqual([]);
    expect((await snapshot(ours, source, "fresh")).status).toBe(201); // a name that only failed is free
  });

  it("lets one of two win that make a name at once, and a deletion over a making", async () => {
    const source = await sandbox(ours);
    const both = await Promise.all([snapshot(ours, source, "race"), snapshot(ours, source, "race")]);
    expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([201, 409]);

    await meet("slow");
    const making = snapshot(ours, source, "race", "?overwrite=true");
    await host.untilHeld();
    expect((await ask(ours, "DELETE", "/v1/snapshots/race")).status).toBe(204);
    host.release();
    expect(await making).toMatchObject({ status: 409, body: { error: { code: "conflict" } } });
    expect(await names(ours)).not.toContain("race");
    await services.snapshots.sweep();
  });

  it("refuses a sandbox that neither runs nor is paused", async () => {
    const id = await sandbox(ours);
    await ask(ours, "DELETE", `/v1/sandboxes/${id}`);
    expect(await snapshot(ours, id, "gone")).toMatchObject({ status: 409, body: { error: { code: "invalid_state" } } });
    expect((await ask(ours, "POST", `/v1/sandboxes/${id}/fork`, {})).status).toBe(409);
  });
});

describe("DELETE /v1/snapshots/{name}", () => {
  it("takes the name away and leaves the sandboxes; the built-in ones stay", async () => {
    const source = await sandbox(ours);
    await snapshot(ours, source, "going");
    const child = await sandbox(ours, { template: "going" });
    expect((await ask(ours, "DELETE", "/v1/snapshots/going")).status).toBe(204);
    expect((await ask(ours, "DELETE", "/v1/snapshots/going")).status).toBe(404);
    expect((await ask(ours, "POST", "/v1/sandboxes", { template: "going" })).status).toBe(404);
    expect((await ask(ours, "GET", `/v1/sandboxes/${child}`)).body).toMatchObject({
      status: "running",
      template: "going",
    });
    expect(await ask(ours, "DELETE", "/v1/snapshots/base")).toMatchObject({
      status: 403,
      body: { error: { code: "forbidden" } },
    });
    // a path of dots is another path before any route sees it
    for (const name of ["..%2f..", "%2e%2e", "a%00b", "-x"])
      expect([400, 404]).toContain((await ask(ours, "DELETE", `/v1/snapshots/${name}`)).status);
    expect((await snapshot(ours, source, "going")).status).toBe(201);
  });

  it("tells the host later when it cannot now", async () => {
    await snapshot(ours, await sandbox(ours), "later");
    const { build_id: build } = (await ask(ours, "GET", "/v1/templates/later")).body;
    await meet("lose-call");
    expect((await ask(ours, "DELETE", "/v1/snapshots/later")).status).toBe(204);
    host.faults = [];
    expect([...host.builds.keys()]).toContain(build);
    await services.snapshots.sweep();
    expect([...host.builds.keys()]).not.toContain(build);
  });

  it("is not held up by another one that the host cannot delete", async () => {
    const source = await sandbox(ours);
    const before = host.builds.size;
    for (const name of ["stuck-1", "stuck-2"]) await snapshot(ours, source, name);
    await services.snapshots.sweep();
    for (const name of ["stuck-1", "stuck-2"]) {
      host.faults = ["refuse"]; // of the first build that is tried
      expect((await ask(ours, "DELETE", `/v1/snapshots/${name}`)).status).toBe(204);
    }
    expect(host.builds.size).toBe(before + 1);
    await services.snapshots.sweep();
    expect(host.builds.size).toBe(before);
  });
});

describe("POST /v1/sandboxes/{id}/fork", () => {
  it("makes children with ids of their own that inherit what is not told", async () => {
    const source = await sandbox(ours, { timeout_sec: 77, metadata: { of: "source" } });
    const { status, body } = await ask(ours, "POST", `/v1/sandboxes/${source}/fork`, { count: 3 });
    expect({ status, count: body.length }).toEqual({ status: 201, count: 3 });
    expect(new Set(body.map((child: { id: string }) => child.id)).size).toBe(3);
    for (const child of body)
      expect(child).toMatchObject({ status: "running", timeout_sec: 77, metadata: { of: "source" } });
    const [told] = (await ask(ours, "POST", `/v1/sandboxes/${source}/fork`, { timeout_sec: 5, metadata: { a: "b" } }))
      .body;
    expect(told).toMatchObject({ timeout_sec: 5, metadata: { a: "b" } });
    const rows = await services.database
      .selectFrom("sandboxes")
      .select(["access_token", "forked_from"])
      .where("forked_from", "=", source)
      .execute();
    expect(new Set(rows.map((row) => row.access_token)).size).toBe(4);
  });

  it.each([{ count: 0 }, { count: 33 }, { count: 1.5 }, { count: "2" }, { many: 2 }])("refuses %j", async (body) => {
    expect((await ask(ours, "POST", `/v1/sandboxes/${await sandbox(ours)}/fork`, body)).status).toBe(400);
  });

  const statesOf = async (source: string): Promise<string[]> => {
    const rows = await services.database
      .selectFrom("sandboxes")
      .select("state")
      .where("forked_from", "=", source)
      .execute();
    return rows.map(({ state }) => state);
  };

  it.each(["refuse", "lose-answer", "lose-call"] as const)(
    "makes all children or none when the host does this: %s",
    async (fault) => {
      const source = await sandbox(ours);
      const before = host.sandboxes.size;
      await meet(fault);
      const { status } = await ask(ours, "POST", `/v1/sandboxes/${source}/fork`, { count: 2 });
      host.faults = [];
      // the host's word of the children may come before the answer is known to be lost
      const isMade = fault === "lose-answer" && status === 201;
      expect(isMade || status >= 500).toBe(true);
      expect(host.sandboxes.size).toBe(before + (isMade ? 2 : 0));
      expect(await statesOf(source)).toEqual(Array(2).fill(isMade ? "running" : "gone"));
    },
  );

  it("leaves none of the children when only some were seen to run before the call failed", async () => {
    const source = await sandbox(ours);
    const before = host.sandboxes.size;
    await meet("slow-answer");
    const forked = ask(ours, "POST", `/v1/sandboxes/${source}/fork`, { count: 2 });
    await host.untilHeld();
    await vi.waitFor(async () => expect(await statesOf(source)).toEqual(["running", "running"]), PATIENCE_MS);
    const unseen = await services.database
      .selectFrom("sandboxes")
      .select("id")
      .where("forked_from", "=", source)
      .executeTakeFirstOrThrow();
    await services.database.updateTable("sandboxes").set({ state: "creating" }).where("id", "=", unseen.id).execute();
    await host.restart();
    expect((await forked).status).toBeGreaterThanOrEqual(500);
    await vi.waitFor(() => expect(host.sandboxes.size).toBe(before), PATIENCE_MS);
    await vi.waitFor(async () => expect(await statesOf(source)).toEqual(["gone", "gone"]), PATIENCE_MS);
  });
});
