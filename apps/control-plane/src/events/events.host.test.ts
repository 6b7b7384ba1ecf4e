/** Events as they are written, listed and streamed; webhooks as a receiver sees them. */
import { createHmac, timingSafeEqual } from "node:crypto";
import { once } from "node:events";
import { createServer, type IncomingHttpHeaders, type Server } from "node:http";
import { connect, type AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { sql } from "kysely";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { Event, Sandbox } from "@wrenn/api-schema";
import { hostagent } from "@wrenn/protocol";
import { TestServer } from "../database/test-database.ts";
import { startTestAppWithHost } from "../test-app.ts";

/** How much later than promised something may happen on a busy machine. */
const PATIENCE_MS = 20_000;

let server: TestServer;
let test: Awaited<ReturnType<typeof startTestAppWithHost>>;

beforeAll(async () => {
  server = await TestServer.start();
  test = await startTestAppWithHost(await server.newDatabase(), {
    settings: { WRENN_WEBHOOK_NETWORKS: "127.0.0.2/32" },
  });
});
afterAll(async () => {
  await test.stop();
  await server.stop();
});

async function api(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const answer = await fetch(`${test.url}/v1/${path}`, {
    method,
    headers: {
      "x-api-key": test.apiKey,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const content = await answer.text();
  return { status: answer.status, body: content === "" ? undefined : JSON.parse(content) };
}
const create = async () => (await api("POST", "sandboxes", { metadata: { k: "v" } })).body.id as string;

/** A client of the stream. */
class Follower {
  readonly events: Event[] = [];
  readonly #abort = new AbortController();
  readonly #connected = Promise.withResolvers<void>();
  /** Settles when what happens from now on is told. */
  readonly connected = this.#connected.promise;
  readonly ended: Promise<void>;

  constructor(query: string, headers: Record<string, string> = {}) {
    this.ended = this.#read(query, headers).catch(() => undefined);
  }

  async #read(query: string, headers: Record<string, string>): Promise<void> {
    const answer = await fetch(`${test.url}/v1/events/stream${query}`, {
      headers: { "x-api-key": test.apiKey, ...headers },
      signal: this.#abort.signal,
    });
    if (answer.headers.get("content-type") !== "text/event-stream; charset=utf-8")
      throw new Error(`no stream of events: ${answer.status}`);
    let rest = "";
    for await (const chunk of answer.body as AsyncIterable<Uint8Array>) {
      this.#connected.resolve(); // its first words come behind the look at what is the newest
      const frames = (rest + Buffer.from(chunk).toString()).split("\n\n");
      rest = frames.pop() ?? "";
      for (const frame of frames) {
        const data = /^data: (.*)$/m.exec(frame)?.[1];
        if (data !== undefined) this.events.push(JSON.parse(data) as Event);
      }
    }
  }

  async until(count: number): Promise<void> {
    await vi.waitUntil(() => this.events.length >= count, { timeout: PATIENCE_MS });
  }

  async leave(): Promise<void> {
    this.#abort.abort();
    await this.ended;
  }
}

describe("events", () => {
  it("tell that a guest answers no more and when it does again, and lists show it", async () => {
    const { Health } = hostagent;
    const id = await create();
    const follower = new Follower(`?sandbox_id=${id}`);
    await follower.connected;
    const listed = async () =>
      ((await api("GET", "sandboxes")).body as Sandbox[]).find((sandbox) => sandbox.id === id)?.health;
    expect(await listed()).toBe("responsive");
    test.host.sayHealth(id, Health.BUSY); // nothing to tell, but it shows
    await vi.waitUntil(async () => (await listed()) === "busy", { timeout: PATIENCE_MS });
    test.host.sayHealth(id, Health.UNRESPONSIVE);
    await follower.until(1);
    expect(await listed()).toBe("unresponsive");
    test.host.sayHealth(id, Health.RESPONSIVE);
    await follower.until(2);
    test.host.sayHealth(id, Health.UNRESPONSIVE);
    await follower.until(3);
    await api("POST", `sandboxes/${id}/pause`);
    await follower.until(5);
    expect(follower.events.map(({ type, data }) => [type, data.health, data.previous_status])).toEqual([
      ["sandbox.unresponsive", "unresponsive", undefined],
      ["sandbox.responsive", "responsive", undefined],
      ["sandbox.unresponsive", "unresponsive", undefined],
      ["sandbox.pausing", undefined, "running"],
      ["sandbox.paused", undefined, "pausing"],
    ]);
    expect(await listed()).toBeUndefined();
    await follower.leave();
    const { body: resumed } = await api("POST", `sandboxes/${id}/resume`);
    expect(resumed.health).toBe("responsive");
  });

  it("come with the change or not at all", async () => {
    const id = await create();
    const { database } = test.services;
    const count = async () => (await test.services.events.after(test.teamId, 0, 100, { sandboxId: id })).length;
    const before = await count();
    await expect(
      database.transaction().execute(async (transaction) => {
        await sql`update sandboxes set state = 'failed' where id = ${id}`.execute(transaction);
        throw new Error("taken back");
      }),
    ).rejects.toThrow("taken back");
    expect(await count()).toBe(before);
    await sql`update sandboxes set last_active_at = now() where id = ${id}`.execute(database);
    expect(await count()).toBe(before);
  });

  it("are streamed as they happen, and gone on with after the last one that came", async () => {
    const all = new Follower("?after=0&types=sandbox.running,sandbox.gone");
    const ids = await Promise.all([create(), create(), create()]);
    await vi.waitUntil(() => ids.every((id) => all.events.some(({ sandbox_id }) => sandbox_id === id)), {
      timeout: PATIENCE_MS,
    });
    expect(new Set(all.events.map(({ type }) => type))).toEqual(new Set(["sandbox.running"]));
    await all.leave();
    const seen = all.events.at(-1) as Event;
    for (const id of ids) await api("DELETE", `sandboxes/${id}`);
    const later = new Follower("?types=sandbox.gone", { "last-event-id": seen.id });
    await later.until(3);
    expect(new Set(later.events.map(({ sandbox_id }) => sandbox_id))).toEqual(new Set(ids));
    await later.leave();
    const { body: page } = await api("GET", `events?after=${seen.id}&limit=2`);
    expect(page).toHaveLength(2);
  });

  it("miss nobody who reads on while many are written at once", async () => {
    const after = await test.services.events.newestId(test.teamId);
    const follower = new Follower(`?after=${after}`);
    const ids = await Promise.all(Array.from({ length: 20 }, create));
    await Promise.all(ids.map((id) => api("DELETE", `sandboxes/${id}`)));
    await follower.until(80); // creating, running, destroying, gone
    await follower.leave();
    const order = follower.events.map(({ id }) => Number(id));
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    expect(new Set(order).size).toBe(80);
  });

  it("of a client that does not read wait in the database, and nobody else waits", async () => {
    const { port } = new URL(test.url);
    const stalled = connect(Number(port), "127.0.0.1");
    stalled.write(`GET /v1/events/stream?after=0 HTTP/1.1\r\nHost: x\r\nX-API-Key: ${test.apiKey}\r\n\r\n`);
    stalled.pause();
    await once(stalled, "connect");
    const follower = new Follower("");
    await follower.connected;
    await create();
    await follower.until(2);
    expect(follower.events.length).toBeGreaterThanOrEqual(2);
    await follower.leave();
    stalled.destroy();
  });

  it("of another team are not there", async () => {
    const teamId = "team_00000000000000000000";
    await sql`insert into teams (id, name) values (${teamId}, 'Other')`.execute(test.services.database);
    expect(await test.services.events.after(teamId, 0, 10)).toEqual([]);
  });

  it("are refused with what is no id or type", async () => {
    expect((await api("GET", "events?types=sandbox.nonsense")).status).toBe(400);
    expect((await api("GET", "events?after=x")).status).toBe(400);
    expect((await api("GET", "events/stream", undefined, { "last-event-id": "x" })).status).toBe(400);
  });
});

describe("webhooks", () => {
  const received: { headers: IncomingHttpHeaders; body: string }[] = [];
  let answers: number[] = [];
  let receiver: Server;
  let url: string;

  beforeAll(async () => {
    receiver = createServer((request, response) => {
      void text(request).then((body) => {
        received.push({ headers: request.headers, body });
        const status = answers.shift() ?? 204;
        response.writeHead(status, status === 302 ? { location: url } : {}).end();
      });
    }).listen(0, "127.0.0.2");
    await once(receiver, "listening");
    url = `http://127.0.0.2:${(receiver.address() as AddressInfo).port}/hook`;
  });
  afterAll(() => receiver.close());
  afterEach(async () => {
    for (const { id } of (await api("GET", "webhooks")).body) await api("DELETE", `webhooks/${id}`);
    received.length = 0;
    answers = [];
  });

  /** Makes what waits for its next attempt due now. */
  const hurry = async () =>
    await sql`update webhook_deliveries set next_attempt_at = now()
      where delivered_at is null and failed_at is null and last_error is not null`.execute(test.services.database);

  it("get every event that they want, signed", async () => {
    const { status, body: hook } = await api("POST", "webhooks", { url, event_types: ["sandbox.running"] });
    expect(status).toBe(201);
    expect(JSON.stringify((await api("GET", `webhooks/${hook.id}`)).body)).not.toContain(hook.secret);
    const id = await create();
    await vi.waitUntil(() => received.length > 0, { timeout: PATIENCE_MS });
    const [{ headers, body }] = received as [(typeof received)[0]];
    expect(JSON.parse(body)).toMatchObject({ type: "sandbox.running", sandbox_id: id, data: { metadata: { k: "v" } } });
    const signed = `${String(headers["webhook-id"])}.${String(headers["webhook-timestamp"])}.${body}`;
    const expected = createHmac("sha256", Buffer.from(hook.secret.slice("whsec_".length), "base64"))
      .update(signed)
      .digest();
    const [version, signature = ""] = String(headers["webhook-signature"]).split(",");
    expect([version, timingSafeEqual(Buffer.from(signature, "base64"), expected)]).toEqual(["v1", true]);
    expect(Math.abs(Number(headers["webhook-timestamp"]) - Date.now() / 1_000)).toBeLessThan(PATIENCE_MS / 1_000);
    await vi.waitUntil(
      async () => (await api("GET", `webhooks/${hook.id}/deliveries`)).body[0]?.status === "delivered",
      { timeout: PATIENCE_MS },
    );
    expect(received).toHaveLength(1);
  });

  it("are tried again until they answer with success, redirects are not followed", async () => {
    answers = [500, 302];
    const { body: hook } = await api("POST", "webhooks", { url, event_types: ["sandbox.creating"] });
    await create();
    const delivery = async () => (await api("GET", `webhooks/${hook.id}/deliveries`)).body[0];
    for (const [attempts, error] of [
      [1, "500"],
      [2, "302"],
    ] as const) {
      await vi.waitUntil(
        async () => {
          const now = await delivery();
          return now?.attempts === attempts && now.last_error !== undefined && now.last_error.includes(error);
        },
        { timeout: PATIENCE_MS },
      );
      expect(await delivery()).toMatchObject({ status: "waiting" });
      await hurry();
    }
    await vi.waitUntil(async () => (await delivery()).status === "delivered", { timeout: PATIENCE_MS });
    expect(new Set(received.map(({ headers }) => headers["webhook-id"])).size).toBe(1);
  });

  it("reach those who answer while another one hangs with more than all places hold", async () => {
    const hanging = createServer().listen(0, "127.0.0.2");
    let ended = 0;
    hanging.on("request", (request) => void request.socket.once("close", () => (ended += 1)));
    await once(hanging, "listening");
    const { port } = hanging.address() as AddressInfo;
    for (const to of [`http://127.0.0.2:${port}/`, url]) await api("POST", "webhooks", { url: to });
    for (let count = 0; count < 12; count++) await create();
    await vi.waitUntil(() => received.length >= 24, { timeout: PATIENCE_MS });
    expect(ended).toBe(0);
    hanging.closeAllConnections();
    hanging.close();
  });

  it("are given up in the end", async () => {
    const { body: hook } = await api("POST", "webhooks", {
      url: "http://127.0.0.2:1/",
      event_types: ["sandbox.creating"],
    });
    await create();
    const delivery = async () => (await api("GET", `webhooks/${hook.id}/deliveries`)).body[0];
    await vi.waitUntil(async () => (await delivery())?.last_error === "ECONNREFUSED", { timeout: PATIENCE_MS });
    await sql`update webhook_deliveries set attempts = 8, next_attempt_at = now() where webhook_id = ${hook.id}`.execute(
      test.services.database,
    );
    await vi.waitUntil(async () => (await delivery()).status !== "waiting", { timeout: PATIENCE_MS });
    expect(await delivery()).toMatchObject({ status: "failed", attempts: 9 });
  });

  it("never lead to private addresses, by number or by name", async () => {
    for (const address of [
      "127.0.0.1",
      "10.0.0.1",
      "169.254.169.254",
      "[::1]",
      "[fd00::1]",
      "[::ffff:127.0.0.1]",
      "0.0.0.0",
    ])
      expect([address, (await api("POST", "webhooks", { url: `http://${address}/` })).body.error?.code]).toEqual([
        address,
        "invalid_request",
      ]);
    for (const bad of ["http://user:pass@example.com/", "http://", "ftp://example.com/"])
      expect([bad, (await api("POST", "webhooks", { url: bad })).status]).toEqual([bad, 400]);
    const { port } = receiver.address() as AddressInfo;
    const { body: hook } = await api("POST", "webhooks", {
      url: `http://localhost:${port}/`,
      event_types: ["sandbox.creating"],
    });
    await create();
    const delivery = async () => (await api("GET", `webhooks/${hook.id}/deliveries`)).body[0];
    await vi.waitUntil(async () => (await delivery())?.last_error?.includes("private"), { timeout: PATIENCE_MS });
    expect(received).toEqual([]);
  });
});
