/** Creates under an idempotency key: once, whatever is repeated, by whichever control plane. */
import { setTimeout as delay } from "node:timers/promises";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestServer } from "../database/test-database.ts";
import { startTestAppWithHost } from "../test-app.ts";

let server: TestServer;
let test: Awaited<ReturnType<typeof startTestAppWithHost>>;

beforeAll(async () => {
  server = await TestServer.start();
  test = await startTestAppWithHost(await server.newDatabase());
});
afterAll(async () => {
  await test.stop();
  await server.stop();
});

async function create(key: string | undefined, body: object = {}, signal?: AbortSignal) {
  const answer = await fetch(`${test.url}/v1/sandboxes`, {
    method: "POST",
    headers: {
      "x-api-key": test.apiKey,
      "content-type": "application/json",
      ...(key === undefined ? {} : { "idempotency-key": key }),
    },
    body: JSON.stringify(body),
    ...(signal === undefined ? {} : { signal }),
  });
  return {
    status: answer.status,
    replayed: answer.headers.get("x-idempotent-replay"),
    location: answer.headers.get("location"),
    body: (await answer.json()) as any,
  };
}

describe("a create under an idempotency key", () => {
  it("is done once; the same request gets the same answer, in whatever order its fields are", async () => {
    const first = await create("one", { metadata: { a: "1", b: "2" }, timeout_sec: 60 });
    expect(first).toMatchObject({ status: 201, replayed: null });
    const again = await create("one", { timeout_sec: 60, metadata: { b: "2", a: "1" } });
    expect(again).toEqual({ ...first, replayed: "true" });
    expect(test.host.sandboxes.has(first.body.id)).toBe(true);
    // without a key every request is another one
    expect((await create(undefined)).body.id).not.toBe((await create(undefined)).body.id);
  });

  it("refuses another request under the same key, and keys that are none", async () => {
    await create("two", { timeout_sec: 60 });
    expect(await create("two", { timeout_sec: 61 })).toMatchObject({
      status: 409,
      body: { error: { code: "conflict" } },
    });
    for (const bad of ["with space", "x".repeat(256), ""])
      expect([bad.length, (await create(bad)).status]).toEqual([bad.length, 400]);
  });

  it("gives many that come at once one sandbox", async () => {
    const answers = await Promise.all(Array.from({ length: 8 }, () => create("many")));
    expect(new Set(answers.map(({ body }) => body.id)).size).toBe(1);
    expect(answers.filter(({ replayed }) => replayed === null)).toHaveLength(1);
  });

  it("may be repeated after it failed", async () => {
    test.host.faults = ["refuse"];
    expect(await create("failing")).toMatchObject({ status: 503, body: { error: { code: "capacity" } } });
    expect(await create("failing")).toMatchObject({ status: 201, replayed: null });
  });

  it("is not done again when only its answer could not be kept", async () => {
    const { database } = test.services;
    await sql`create function refuse() returns trigger language plpgsql as
      $$ begin raise exception 'away' using errcode = 'cannot_connect_now'; end $$`.execute(database);
    await sql`create trigger refuse before update on idempotency_keys for each row execute function refuse()`.execute(
      database,
    );
    expect(await create("unkept")).toMatchObject({ status: 503 });
    await sql`drop function refuse cascade`.execute(database);
    const made = test.host.sandboxes.size;
    expect(await create("unkept")).toMatchObject({ status: 201, replayed: "true" });
    expect(test.host.sandboxes.size).toBe(made);
  });

  it("goes on without its client, who finds the sandbox by repeating it", async () => {
    test.host.faults = ["slow"];
    const leaving = new AbortController();
    const left = create("left", {}, leaving.signal).catch(() => "gone");
    await test.host.untilHeld();
    leaving.abort();
    expect(await left).toBe("gone");
    const again = create("left");
    await delay(200);
    test.host.release();
    const { status, replayed, body } = await again;
    expect([status, replayed, body.status]).toEqual([201, "true", "running"]);
    const rows = await test.services.sandboxes.page(test.teamId, { limit: 100 });
    expect(rows.filter(({ id }) => id === body.id)).toHaveLength(1);
  });

  it("is found again when the control plane that began it is gone, in the middle or before", async () => {
    const { database } = test.services;
    const { body } = await create("interrupted");
    // as a control plane leaves it that is killed before it keeps the answer
    await sql`update idempotency_keys set response_status = null, response_body = null where key = 'interrupted'`.execute(
      database,
    );
    expect(await create("interrupted")).toMatchObject({ status: 201, replayed: "true", body: { id: body.id } });
    await sql`insert into idempotency_keys (team_id, key, request_hash, resource_id, created_at, expires_at)
      select team_id, 'never-begun', request_hash, 'sb00000000000000000000', now() - interval '61 seconds', expires_at
      from idempotency_keys where key = 'interrupted'`.execute(database);
    expect(await create("never-begun")).toMatchObject({ status: 201, replayed: null });
  });

  it("is forgotten after its time", async () => {
    const { body } = await create("old");
    await sql`update idempotency_keys set expires_at = now() where key = 'old'`.execute(test.services.database);
    expect((await create("old")).body.id).not.toBe(body.id);
    await sql`update idempotency_keys set expires_at = now() - interval '1 second'`.execute(test.services.database);
    await test.services.housekeeper.forgetExpired();
    const { rows } = await sql`select from idempotency_keys`.execute(test.services.database);
    expect(rows).toHaveLength(0);
  });
});

describe("a pause", () => {
  it("goes on to its end when the client goes away in the middle", async () => {
    const { body } = await create(undefined);
    test.host.faults = ["slow"];
    const leaving = new AbortController();
    const left = fetch(`${test.url}/v1/sandboxes/${body.id}/pause`, {
      method: "POST",
      headers: { "x-api-key": test.apiKey },
      signal: leaving.signal,
    }).catch(() => "gone");
    await test.host.untilHeld();
    leaving.abort();
    expect(await left).toBe("gone");
    test.host.release();
    await expect
      .poll(async () => (await test.services.sandboxes.find(test.teamId, body.id))?.state, { timeout: 20_000 })
      .toBe("paused");
  });
});
