/** The whole platform on real VMs, while its host agent is killed under load and clients do not move. */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { WebSocket } from "ws";
import { startPlatform, type Platform } from "../first-light/platform.ts";
import { leakGate } from "../leaks/gate.ts";
import { ExecClient } from "./exec-client.ts";

const FULL = process.env["WRENN_TEST_FULL"] === "1";
/** How much later than promised something may happen on a busy machine. */
const PATIENCE_MS = 60_000;
const KILLS = FULL ? 12 : 2;

let platform: Platform;

leakGate(() => ({
  stateDirectory: platform.directory,
  directories: [join(platform.directory, "sandboxes")],
  ignore: (kind, item) => kind === "process" && item.includes("postgres"),
}));

beforeAll(async () => {
  platform = await startPlatform({
    WRENN_SLOT_FIRST: "23300",
    WRENN_RECONCILE_INTERVAL_SEC: "1",
    WRENN_SETTLED_AGE_SEC: "5",
    WRENN_ORPHAN_GRACE_SEC: "0",
    WRENN_RATE_LIMIT_PER_MINUTE: "0",
  });
});
afterAll(async () => {
  await platform?.stop();
});

/** The process id of a part of the platform, once it runs. */
async function pidOf(name: string): Promise<number> {
  const look = async (): Promise<number> => {
    const { stdout } = await platform.wrenn(["status", "--json"]);
    const { processes } = JSON.parse(stdout.toString()) as { processes: { name: string; pid: number | null }[] };
    return processes.find((process) => process.name === name)?.pid ?? 0;
  };
  return await vi.waitUntil(look, { timeout: PATIENCE_MS });
}

const destroy = async (id: string) => (await platform.request("DELETE", `/v1/sandboxes/${id}`)).status;

/** Clients that create, write, pause and destroy, and repeat whatever was not answered with success. */
class Load {
  /** What was answered of each sandbox last. */
  readonly answered = new Map<string, "running" | "paused" | "gone">();
  /** Answers that were neither success nor a passing refusal. */
  readonly wrong: string[] = [];
  readonly #stop = new AbortController();
  readonly #clients: Promise<void>[];

  constructor(clients: number) {
    this.#clients = Array.from({ length: clients }, () => this.#client());
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await Promise.all(this.#clients);
  }

  async #client(): Promise<void> {
    const own: string[] = [];
    for (let turn = 0; !this.#stop.signal.aborted; turn++) {
      const key = randomUUID();
      const { id } = await this.#until("POST", "", 201, { timeout_sec: 0 }, key);
      this.answered.set(id, "running");
      own.push(id);
      await this.#until("POST", `/${id}/exec`, 200, { cmd: "sh", args: ["-c", `echo ${id} > /tmp/mark`] });
      if (turn % 2 === 0) {
        await this.#until("POST", `/${id}/pause`, 200);
        this.answered.set(id, "paused");
      }
      if (own.length < 3) continue;
      const oldest = own.shift() as string;
      await this.#until("DELETE", `/${oldest}`, 204);
      this.answered.set(oldest, "gone");
    }
  }

  async #until(method: string, path: string, success: number, body?: object, key?: string): Promise<any> {
    for (;;) {
      const answer = await fetch(`${platform.url}/v1/sandboxes${path}`, {
        method,
        headers: {
          "x-api-key": platform.apiKey,
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(key === undefined ? {} : { "idempotency-key": key }),
        },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await answer.text();
      if (answer.status === success) return text === "" ? undefined : JSON.parse(text);
      if (![409, 502, 503, 504].includes(answer.status)) this.wrong.push(`${method} ${path}: ${answer.status} ${text}`);
      if (path.endsWith("/pause")) {
        const { body: found } = await platform.request("GET", `/v1/sandboxes${path.replace("/pause", "")}`);
        if (found.status === "paused") return found;
      }
      await delay(100);
    }
  }
}

describe("a host agent that is killed under load", () => {
  it("loses no request that was answered, and nothing that was written", { timeout: 600_000 }, async () => {
    const load = new Load(2);
    for (let kill = 0; kill < KILLS; kill++) {
      await vi.waitUntil(() => load.answered.size >= 2 * (kill + 1), { timeout: PATIENCE_MS });
      await delay(Math.random() * 1_000);
      process.kill(await pidOf("host-agent"), "SIGKILL");
    }
    await vi.waitUntil(() => load.answered.size >= 2 * (KILLS + 1), { timeout: PATIENCE_MS });
    await load.stop();
    expect(load.wrong).toEqual([]);
    const kept = [...load.answered].filter(([, status]) => status !== "gone");
    const listed = async () => {
      const { body } = await platform.request("GET", "/v1/sandboxes?limit=100");
      return (body as { id: string; status: string }[]).map(({ id, status }) => [id, status] as const);
    };
    await vi.waitUntil(async () => (await listed()).length === kept.length, { timeout: PATIENCE_MS });
    expect(new Map(await listed())).toEqual(new Map(kept));
    for (const [id] of kept.filter(([, status]) => status === "paused"))
      expect((await platform.request("POST", `/v1/sandboxes/${id}/resume`)).status).toBe(200);
    for (const [id] of kept) {
      const { body } = await platform.request("POST", `/v1/sandboxes/${id}/exec`, { cmd: "cat", args: ["/tmp/mark"] });
      expect(body).toMatchObject({
        stdout: `${id}
`,
      });
      expect(await destroy(id)).toBe(204);
    }
  });
});

describe("clients that do not move", () => {
  /** One says nothing at all, one has a program that waits for input, one does not read what never ends. */
  async function standStill(id: string, durationMs: number): Promise<{ planeMib: number; agentMib: number }> {
    const url = `${platform.url.replace("http:", "ws:")}/v1/sandboxes/${id}/exec/stream`;
    const silent = Array.from({ length: 5 }, () => new WebSocket(url, { headers: { "x-api-key": platform.apiKey } }));
    const start = (cmd: string, stdin: boolean) =>
      Array.from({ length: 3 }, () => new ExecClient(platform, id, { type: "start", cmd, stdin }));
    const [waiting, flooded] = [start("cat", true), start("yes", false)];
    await Promise.all(silent.map((socket) => once(socket, "open")));
    await Promise.all([...waiting, ...flooded].map((client) => client.until(({ type }) => type === "start")));
    for (const { socket } of flooded) socket.pause();
    await delay(durationMs / 4);
    const early = await measure();
    await delay(durationMs);
    const late = await measure();
    // nobody else waits for them
    const echo = { cmd: "echo", args: ["hi"] };
    expect((await platform.request("POST", `/v1/sandboxes/${id}/exec`, echo)).body).toMatchObject({ stdout: "hi\n" });
    const sockets = [...silent, ...[...waiting, ...flooded].map(({ socket }) => socket)];
    for (const socket of sockets) socket.terminate();
    const running = async () => (await platform.request("GET", `/v1/sandboxes/${id}/processes`)).body as unknown[];
    await vi.waitUntil(async () => (await running()).length === 0, { timeout: PATIENCE_MS });
    return { planeMib: late.plane.mib - early.plane.mib, agentMib: late.agent.mib - early.agent.mib };
  }

  async function measure() {
    const of = async (pid: number) => {
      const text = await readFile(`/proc/${pid}/status`, "utf8");
      const mib = Number(/^VmRSS:\s+(\d+) kB$/m.exec(text)?.[1]) / 1_024;
      return { mib, files: (await readdir(`/proc/${pid}/fd`)).length };
    };
    return { plane: await of(await pidOf("control-plane")), agent: await of(await pidOf("host-agent")) };
  }

  it("cost a bounded amount of memory, and leave nothing when they go", { timeout: 300_000 }, async () => {
    const { status, body } = await platform.request("POST", "/v1/sandboxes", { timeout_sec: 0 });
    expect(status).toBe(201);
    const id = body.id as string;
    await standStill(id, 500); // connections that are kept for the next request
    const before = await measure();
    const grown = await standStill(id, FULL ? 60_000 : 5_000);
    // the floods alone would be hundreds
    expect(grown.planeMib).toBeLessThan(40);
    expect(grown.agentMib).toBeLessThan(40);
    const left = async () => {
      const now = await measure();
      return [now.plane.files - before.plane.files, now.agent.files - before.agent.files];
    };
    await vi.waitUntil(async () => (await left()).every((files) => files <= 5), { timeout: PATIENCE_MS });
    expect(await destroy(id)).toBe(204);
  });
});
