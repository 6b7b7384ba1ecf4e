/**
 * Two control planes as real processes on one database, in front of a model of a host, under load: either
 * is killed, the database is restarted, the host agent goes away and comes back. What was answered stays
 * true, and in the end rows and host agree. Then nonsense on every wire.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import * as fs from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { WebSocket } from "ws";
import { hostagent } from "@wrenn/protocol";
import { freePort } from "../../../tests/free-port.ts";
import { ModelHost } from "./agent/model-host.ts";
import { newId } from "./database/ids.ts";
import { TestServer } from "./database/test-database.ts";

const FULL = process.env["WRENN_TEST_FULL"] === "1";
const MAIN = join(import.meta.dirname, "main.ts");
const PATIENCE_MS = 60_000;
/** Then a client repeats what was not answered: what it asked for may wait for a host that is away. */
const REQUEST_TIMEOUT_MS = 10_000;

let server: TestServer;
let directory: string;
let databaseUrl: string;
let host: ModelHost;
let planes: [Plane, Plane];
let apiKey: string;

/** A control plane as a process. */
class Plane {
  readonly port: number;
  #child: ChildProcess | undefined;

  constructor(port: number) {
    this.port = port;
  }

  async start(): Promise<void> {
    this.#child = spawn(process.execPath, [MAIN], {
      env: {
        PATH: process.env["PATH"] ?? "",
        WRENN_DIR: directory,
        DATABASE_URL: databaseUrl,
        WRENN_PORT: String(this.port),
        WRENN_READY_FD: "3",
        WRENN_LOG_LEVEL: "error",
        WRENN_RECONCILE_INTERVAL_SEC: "1",
        WRENN_ORPHAN_GRACE_SEC: "0",
        WRENN_SETTLED_AGE_SEC: "5",
        WRENN_RATE_LIMIT_PER_MINUTE: "0",
      },
      stdio: ["ignore", "ignore", "inherit", "pipe"],
    });
    const said = await text(this.#child.stdio[3] as NodeJS.ReadableStream);
    if (said !== "ready\n") throw new Error(`the control plane did not start: ${said}`);
  }

  async kill(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    if (this.#child === undefined || this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill(signal);
    await once(this.#child, "exit");
  }

  get alive(): boolean {
    return this.#child?.exitCode === null && this.#child.signalCode === null;
  }

  async residentMib(): Promise<number> {
    const status = await fs.readFile(`/proc/${this.#child?.pid}/status`, "utf8");
    return Number(/^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1]) / 1_024;
  }

  async openFiles(): Promise<number> {
    return (await fs.readdir(`/proc/${this.#child?.pid}/fd`)).length;
  }
}

beforeAll(async () => {
  server = await TestServer.start();
  directory = await fs.mkdtemp(join(tmpdir(), "control-plane-faults-"));
  databaseUrl = await server.newDatabase();
  await fs.mkdir(join(directory, "run"));
  await fs.mkdir(join(directory, "secrets"));
  await fs.writeFile(join(directory, "secrets/agent-token"), "secret");
  host = await startHost();
  planes = [new Plane(await freePort()), new Plane(await freePort())];
  await Promise.all(planes.map((plane) => plane.start()));
  const file = await fs.readFile(join(directory, "secrets/api-key.json"), "utf8");
  apiKey = (JSON.parse(file) as { api_key: string }).api_key;
});
afterAll(async () => {
  for (const plane of planes) await plane.kill();
  await host.stop();
  await server.stop();
  await fs.rm(directory, { recursive: true });
});
afterEach(async () => {
  for (const plane of planes) if (!plane.alive) await plane.start();
});

const buildId = newId("bld_");
async function startHost(sandboxes: ModelHost["sandboxes"] = new Map()): Promise<ModelHost> {
  const socketPath = join(directory, "run/host-agent.sock");
  await fs.rm(socketPath, { force: true });
  const started = await ModelHost.start({ socketPath, token: "secret", templates: [{ name: "base", buildId }] });
  for (const [id, sandbox] of sandboxes) started.sandboxes.set(id, sandbox);
  return started;
}

async function request(plane: Plane, method: string, path: string, options: { key?: string; body?: object } = {}) {
  const answer = await fetch(`http://127.0.0.1:${plane.port}/v1/${path}`, {
    method,
    headers: {
      "x-api-key": apiKey,
      ...(options.body === undefined ? {} : { "content-type": "application/json" }),
      ...(options.key === undefined ? {} : { "idempotency-key": options.key }),
    },
    ...(options.body === undefined ? {} : { body: JSON.stringify(options.body) }),
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });
  const content = await answer.text();
  return { status: answer.status, body: content === "" ? undefined : (JSON.parse(content) as any) };
}

/** Clients that create and pause, and repeat what was not answered, at the other control plane as well. */
class Load {
  /** By idempotency key, what was answered. */
  readonly made = new Map<string, string>();
  readonly paused = new Set<string>();
  /** Statuses of answers that were no success. */
  readonly refusals = new Map<number, number>();
  readonly #stop = new AbortController();
  readonly #clients: Promise<void>[];

  constructor(clients: number) {
    this.#clients = Array.from({ length: clients }, (_, n) => this.#client(n));
  }

  /** Ends it when the clients have got something done, however slow the machine is. */
  async stop(): Promise<void> {
    await vi.waitUntil(() => this.made.size >= this.#clients.length, { timeout: PATIENCE_MS });
    this.#stop.abort();
    await Promise.all(this.#clients);
  }

  async #client(first: number): Promise<void> {
    let turn = first;
    while (!this.#stop.signal.aborted) {
      const key = randomUUID();
      const id = await this.#until(
        () => request(planes[turn++ % 2] as Plane, "POST", "sandboxes", { key, body: { timeout_sec: 0 } }),
        201,
      );
      this.made.set(key, id.id as string);
      if (turn % 3 !== 0) continue;
      const paused = await this.#until(
        () => request(planes[turn++ % 2] as Plane, "POST", `sandboxes/${id.id}/pause`),
        200,
        async () => {
          const { body } = await request(planes[turn % 2] as Plane, "GET", `sandboxes/${id.id}`);
          return body?.status === "paused" ? body : undefined;
        },
      );
      if (paused.status !== "paused") throw new Error(`paused, it is ${paused.status}`);
      this.paused.add(id.id as string);
    }
  }

  /** Repeats until it succeeds, or `done` finds that it has. */
  async #until(work: () => ReturnType<typeof request>, success: number, done?: () => Promise<any>): Promise<any> {
    for (;;) {
      try {
        const { status, body } = await work();
        if (status === success) return body;
        this.refusals.set(status, (this.refusals.get(status) ?? 0) + 1);
        // no defect ever: refusals say that something is away, under way or changed meanwhile
        if (![409, 502, 503, 504].includes(status)) throw new Error(`${status}: ${JSON.stringify(body)}`);
        const found = await done?.();
        if (found !== undefined) return found;
      } catch (error) {
        if (!(error instanceof TypeError) && (error as Error).name !== "TimeoutError") throw error; // fetch: no connection
      }
      await delay(50);
    }
  }
}

/** Every answered request is true, once, and rows and host agree. */
async function expectAgreement(load: Load): Promise<void> {
  const ids = [...load.made.values()];
  expect(new Set(ids).size).toBe(ids.length);
  const listed = async () => {
    const rows: { id: string; status: string }[] = [];
    for (const status of ["running", "paused", "creating,pausing,resuming,destroying,failed"]) {
      let next: string | null = "";
      while (next !== null) {
        const page = await pageOf(status, next);
        rows.push(...page.rows);
        ({ next } = page);
      }
    }
    return rows;
  };
  await vi.waitUntil(
    async () => {
      const rows = await listed();
      const settled = rows.every(({ status }) => status === "running" || status === "paused");
      return settled && rows.length === host.sandboxes.size;
    },
    { timeout: 2 * PATIENCE_MS, interval: 500 },
  );
  const rows = new Map((await listed()).map(({ id, status }) => [id, status]));
  expect(ids.filter((id) => !rows.has(id))).toEqual([]);
  for (const id of load.paused) expect([id, rows.get(id)]).toEqual([id, "paused"]);
  const onHost = (id: string) =>
    host.sandboxes.get(id)?.state === hostagent.SandboxState.PAUSED ? "paused" : "running";
  for (const [id, status] of rows) expect([id, onHost(id)]).toEqual([id, status]);
}

/** @param cursor empty: the first page */
async function pageOf(
  status: string,
  cursor: string,
): Promise<{ rows: { id: string; status: string }[]; next: string | null }> {
  const query = new URLSearchParams({ status, limit: "100", ...(cursor === "" ? {} : { cursor }) });
  const answer = await fetch(`http://127.0.0.1:${planes[0].port}/v1/sandboxes?${query.toString()}`, {
    headers: { "x-api-key": apiKey },
  });
  expect(answer.status).toBe(200);
  const rows = (await answer.json()) as { id: string; status: string }[];
  return { rows, next: answer.headers.get("x-next-cursor") };
}

const ROUNDS = FULL ? 10 : 2;

describe("two control planes on one database, under load", () => {
  // oxlint-disable-next-line vitest/expect-expect -- expectAgreement()
  it("lose no answered request when either is killed", { timeout: 300_000 }, async () => {
    const load = new Load(4);
    for (let round = 0; round < ROUNDS; round++) {
      const plane = planes[round % 2] as Plane;
      await delay(500 + Math.random() * 1_000);
      await plane.kill();
      await delay(300);
      await plane.start();
    }
    await load.stop();
    await expectAgreement(load);
  });

  it("refuse nothing that one of them can do while the other stops in order", { timeout: 300_000 }, async () => {
    const load = new Load(4);
    await delay(700);
    await planes[1].kill("SIGTERM");
    await planes[1].start();
    await load.stop();
    await expectAgreement(load);
    expect([...load.refusals.keys()].every((status) => status === 503)).toBe(true);
  });

  it("go on when the database is restarted", { timeout: 300_000 }, async () => {
    const load = new Load(4);
    await delay(700);
    await server.restart();
    await delay(700);
    await load.stop();
    await expectAgreement(load);
    expect(planes.map(({ alive }) => alive)).toEqual([true, true]);
  });

  // oxlint-disable-next-line vitest/expect-expect -- expectAgreement()
  it("go on when the host agent dies and comes back", { timeout: 300_000 }, async () => {
    const load = new Load(4);
    await delay(700);
    const { sandboxes } = host;
    await host.stop();
    await delay(500);
    host = await startHost(sandboxes);
    await delay(1_500);
    await load.stop();
    await expectAgreement(load);
  });
});

describe("nonsense", () => {
  it("by the thousand is answered or dropped, crashes nothing and leaks nothing", { timeout: 300_000 }, async () => {
    const [plane] = planes;
    await storm(plane, 200);
    const before = { files: await plane.openFiles(), mib: await plane.residentMib() };
    await storm(plane, FULL ? 10_000 : 1_500);
    expect(plane.alive).toBe(true);
    expect((await request(plane, "GET", "sandboxes")).status).toBe(200);
    await vi.waitUntil(async () => (await plane.openFiles()) <= before.files + 10, { timeout: PATIENCE_MS });
    expect(await plane.residentMib()).toBeLessThan(before.mib + 150);
  });

  it("in WebSocket frames ends the socket with an error", { timeout: 300_000 }, async () => {
    const [plane] = planes;
    const { body } = await request(plane, "POST", "sandboxes", { body: {} });
    const url = `ws://127.0.0.1:${plane.port}/v1/sandboxes/${body.id}/exec/stream`;
    const frames = [
      "",
      "{",
      "null",
      "[]",
      "1",
      '{"type":"start"}',
      '{"type":"stdin","data":"eA=="}',
      '{"type":"connect"}',
      '{"type":"start","cmd":1}',
      '{"type":"start","cmd":"x","args":"y"}',
      '{"type":"start","cmd":"\\u0000"}',
      `{"type":"start","cmd":"x","pty":{"cols":-1,"rows":1e9}}`,
      `${"[".repeat(100_000)}`,
      randomBytes(100),
      "x".repeat(5_000_000),
    ];
    for (let round = 0; round < (FULL ? 20 : 3); round++) {
      await Promise.all(
        frames.map(async (frame) => {
          const socket = new WebSocket(url, { headers: { "x-api-key": apiKey } });
          socket.on("error", () => undefined);
          await once(socket, "open");
          const messages: string[] = [];
          socket.on("message", (data: Buffer) => messages.push(data.toString()));
          socket.send(frame);
          const [code] = (await once(socket, "close")) as [number];
          expect([String(frame).slice(0, 20), code]).toEqual([
            String(frame).slice(0, 20),
            expect.toSatisfy((value: number) => [1_006, 1_009, 1_011].includes(value)),
          ]);
          const told = code !== 1_011 || (JSON.parse(messages.at(-1) as string) as { type: string }).type === "error";
          expect([String(frame).slice(0, 20), told]).toEqual([String(frame).slice(0, 20), true]);
        }),
      );
    }
    expect(plane.alive).toBe(true);
  });
});

/** Requests that are wrong in all ways, over few connections at a time. */
async function storm(plane: Plane, count: number): Promise<void> {
  const deep = `${'{"a":'.repeat(5_000)}1${"}".repeat(5_000)}`;
  const head = (line: string, headers: string) => `${line}\r\nHost: x\r\nX-API-Key: ${apiKey}\r\n${headers}\r\n`;
  const withBody = (path: string, body: string | Buffer, type = "application/json") =>
    Buffer.concat([
      Buffer.from(
        head(`POST ${path} HTTP/1.1`, `Content-Type: ${type}\r\nContent-Length: ${Buffer.byteLength(body)}\r\n`),
      ),
      Buffer.from(body),
    ]);
  const makers: (() => string | Buffer)[] = [
    () => randomBytes(64),
    () => "GET / HTTP/9.9\r\n\r\n",
    () => head("GET /v1/../../etc/passwd HTTP/1.1", ""),
    () => head("GET /v1/sandboxes/..%2f..%2fetc HTTP/1.1", ""),
    () => head("GET /v1/sandboxes?limit=-1&limit=2&cursor=%00 HTTP/1.1", ""),
    () => head("GET /v1/sandboxes HTTP/1.1", "X-Request-Id: a\rb\r\n"),
    () => head(`GET /v1/${"x".repeat(20_000)} HTTP/1.1`, ""),
    () => head("GET /v1/sandboxes HTTP/1.1", `X-Long: ${"y".repeat(20_000)}\r\n`),
    () => withBody("/v1/sandboxes", "{"),
    () => withBody("/v1/sandboxes", deep),
    () => withBody("/v1/sandboxes", '{"__proto__":{"x":1}}'),
    () => withBody("/v1/sandboxes", '{"template":7,"envs":[],"metadata":"x"}'),
    () => withBody("/v1/sandboxes", randomBytes(512)),
    () => withBody("/v1/sandboxes", "{}", "text/plain"),
    () => withBody("/v1/webhooks", '{"url":"javascript:alert(1)"}'),
    () => withBody(`/v1/sandboxes/${"sb00000000000000000000"}/exec`, '{"cmd":""}'),
    () => head("POST /v1/sandboxes HTTP/1.1", "Content-Type: application/json\r\nContent-Length: 99999999\r\n"),
    () => head("POST /v1/sandboxes HTTP/1.1", "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n"),
    () =>
      head("POST /v1/sandboxes HTTP/1.1", "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n") +
      "zz\r\n",
    () => head("GET /v1/events/stream HTTP/1.1", "Last-Event-ID: -1\r\n"),
    () =>
      head(
        "GET /v1/sandboxes/sb00000000000000000000/exec/stream HTTP/1.1",
        "Upgrade: websocket\r\nConnection: Upgrade\r\n",
      ),
  ];
  let next = 0;
  await Promise.all(
    Array.from({ length: 16 }, async () => {
      while (next < count) {
        const bytes = (makers[next++ % makers.length] as () => string | Buffer)();
        const socket = connect(plane.port, "127.0.0.1");
        socket.on("error", () => undefined);
        let answer = "";
        socket.on("data", (chunk: Buffer) => {
          answer += chunk.toString("latin1");
          socket.end();
        });
        socket.write(bytes);
        setTimeout(() => socket.end(), 300).unref(); // some wait for more
        await once(socket, "close");
        const status = /^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1];
        if (status !== undefined && Number(status) >= 500)
          throw new Error(`${bytes.toString().slice(0, 200)}\n${answer}`);
      }
    }),
  );
}
