/** What a user sees of a whole platform: the commands of the README, and the API behind them. */
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { leakGate } from "../leaks/gate.ts";
import { startSimulatedInternet, type SimulatedInternet } from "../network/simulated-internet.ts";
import { startPlatform, type Platform } from "./platform.ts";

/** The promised time of a second run, and how much slower a busy machine may be before a test fails. */
const SECOND_RUN_MS = 3_000;
const PATIENCE = 5;

let internet: SimulatedInternet;
let platform: Platform;
const cleanups = new AsyncDisposableStack();

leakGate(() => ({
  stateDirectory: platform.directory,
  directories: [join(platform.directory, "sandboxes"), join(platform.directory, "run")],
  rows: async () =>
    (await platform.request("GET", "/v1/sandboxes")).body.map(({ id }: { id: string }) => `sandbox ${id}`),
  // The database's own workers come and go.
  ignore: (kind, item) => kind === "process" && item.includes("postgres"),
}));

beforeAll(async () => {
  internet = await startSimulatedInternet();
  cleanups.defer(() => internet.stop());
  platform = await startPlatform({ WRENN_UPLINK: internet.uplinkInterface, WRENN_DNS: internet.resolverAddress });
  cleanups.defer(() => platform.stop());
});
afterAll(async () => {
  await cleanups.disposeAsync();
});
afterEach(async () => {
  const { body } = await platform.request("GET", "/v1/sandboxes");
  const left = body.filter(({ status }: { status: string }) => status !== "failed");
  for (const { id } of left) await platform.request("DELETE", `/v1/sandboxes/${id}`); // not the next test's fault
  if (left.length > 0) throw new Error(`sandboxes were left: ${JSON.stringify(left)}`);
});

const run = (args: string[], options?: Parameters<Platform["wrenn"]>[1]) => platform.wrenn(["run", ...args], options);

async function create(settings: Record<string, unknown> = {}): Promise<string> {
  const { status, body } = await platform.request("POST", "/v1/sandboxes", settings);
  expect({ status, body }).toMatchObject({ status: 201, body: { status: "running" } });
  return body.id;
}
const destroy = async (id: string) =>
  expect((await platform.request("DELETE", `/v1/sandboxes/${id}`)).status).toBe(204);
async function shell(id: string, script: string): Promise<string> {
  const { status, body } = await platform.request("POST", `/v1/sandboxes/${id}/exec`, {
    cmd: "/bin/bash",
    args: ["-c", script],
    user: "root",
  });
  expect({ status, body }).toMatchObject({ status: 200, body: { exit_code: 0 } });
  return body.stdout.trim();
}

describe("wrenn run", () => {
  it("prints what the command prints, soon", async () => {
    const startedAt = performance.now();
    const { code, stdout, stderr } = await run(["--", "python3", "-c", "print(2**100)"]);
    expect({ code, stdout: stdout.toString(), stderr }).toEqual({ code: 0, stdout: `${2n ** 100n}\n`, stderr: "" });
    expect(performance.now() - startedAt).toBeLessThan(SECOND_RUN_MS * PATIENCE);
  });

  it("keeps the two outputs apart and returns the exit code", async () => {
    const { code, stdout, stderr } = await run(["--", "bash", "-c", "echo out; echo err >&2; exit 42"]);
    expect({ code, stdout: stdout.toString(), stderr }).toEqual({ code: 42, stdout: "out\n", stderr: "err\n" });
  });

  it("passes binary input and output through unchanged", async () => {
    const bytes = randomBytes(3_000_000);
    const { code, stdout } = await run(["--", "cat"], { input: bytes });
    expect(code).toBe(0);
    expect(createHash("sha256").update(stdout).digest("hex")).toBe(createHash("sha256").update(bytes).digest("hex"));
  });

  it("sets environment variables and takes a template, vcpus and memory", async () => {
    const script = "echo \"$GREETING\"; nproc; awk '/MemTotal/ {print int($2/1024)}' /proc/meminfo";
    const { code, stdout } = await run([
      "--env",
      "GREETING=a b",
      "--vcpus",
      "2",
      "--memory",
      "768",
      "--",
      "bash",
      "-c",
      script,
    ]);
    const [greeting, cpus, memoryMib] = stdout.toString().split("\n");
    expect({ code, greeting, cpus }).toEqual({ code: 0, greeting: "a b", cpus: "2" });
    expect(Number(memoryMib)).toBeGreaterThan(650);
  });

  it("runs the template minimal", async () => {
    const { code, stdout } = await run(["--template", "minimal", "--", "bash", "-c", "echo $((6*7))"]);
    expect({ code, stdout: stdout.toString() }).toEqual({ code: 0, stdout: "42\n" });
  });

  it("forwards a signal to the command and leaves nothing behind", async () => {
    const child = platform.start([
      "run",
      "--",
      "bash",
      "-c",
      "trap 'echo caught; exit 9' INT; echo ready; while true; do sleep 0.1; done",
    ]);
    let output = "";
    child.stdout.on("data", (chunk: Buffer) => {
      output += chunk.toString();
      if (output === "ready\n") child.kill("SIGINT");
    });
    const [code] = await once(child, "close");
    expect({ code, output }).toEqual({ code: 9, output: "ready\ncaught\n" });
  });

  it.each([
    ["an unknown template", ["--template", "nosuch", "--", "true"], /nosuch[\s\S]*base/],
    ["no command", [], /command/i],
    ["too little memory", ["--memory", "1", "--", "true"], /memory/i],
    ["memory that is no number", ["--memory", "lots", "--", "true"], /memory/i],
    ["too many vcpus", ["--vcpus", "1000", "--", "true"], /vcpus/i],
    ["a command that does not exist", ["--", "/no/such/program"], /no\/such\/program/],
  ])("explains %s", async (_what, args, explanation) => {
    const { code, stdout, stderr } = await run(args);
    expect(code).not.toBe(0);
    expect(stdout.toString()).toBe("");
    expect(stderr).toMatch(explanation);
    expect(stderr).not.toMatch(/at .*\.ts:\d+/); // no stack traces
  });
});

describe("a sandbox", () => {
  it("stores files both ways, byte for byte", async () => {
    const id = await create();
    const bytes = randomBytes(5_000_000);
    const path = `/v1/sandboxes/${id}/files?path=${encodeURIComponent("/home/user/dir/ü b.bin")}`;
    const headers = { "x-api-key": platform.apiKey };
    const written = await fetch(platform.url + path, { method: "PUT", headers, body: bytes });
    expect(written.status).toBe(200);
    const read = Buffer.from(await (await fetch(platform.url + path, { headers })).arrayBuffer());
    expect(read.equals(bytes)).toBe(true);
    expect(await shell(id, "stat -c '%U %s' '/home/user/dir/ü b.bin'")).toBe("user 5000000");
    const missing = await platform.request("GET", `/v1/sandboxes/${id}/files?path=/nowhere`);
    expect(missing).toMatchObject({ status: 404, body: { error: { code: "not_found" } } });
    await destroy(id);
  });

  it("resolves names and reaches the internet by TCP, and nothing else", async () => {
    const id = await create();
    expect(await shell(id, "getent hosts www.wrenn.test | awk '{print $1}'")).toBe(internet.httpAddress);
    expect(await shell(id, "curl -sS -m 20 http://www.wrenn.test/bytes/1000 | wc -c")).toBe("1000");
    expect(await shell(id, "curl -s -m 3 http://169.254.169.254/ || echo closed")).toBe("closed");
    const reachHost = "timeout 3 bash -c 'echo > /dev/tcp/10.12.0.1/22' 2>/dev/null && echo open || echo closed";
    expect(await shell(id, reachHost)).toBe("closed");
    await destroy(id);
  });

  it("goes on after a pause with its processes, files and a right clock", async () => {
    const id = await create({ vcpus: 2, memory_mb: 768 });
    await shell(
      id,
      "setsid nohup bash -c 'n=0; while true; do n=$((n+1)); echo $n >> /dev/shm/n; sleep 0.1; done' >/dev/null 2>&1 & echo kept > /root/file",
    );
    await setTimeout(1000);
    expect(await platform.request("POST", `/v1/sandboxes/${id}/pause`)).toMatchObject({
      status: 200,
      body: { status: "paused" },
    });
    expect(await platform.request("POST", `/v1/sandboxes/${id}/exec`, { cmd: "true" })).toMatchObject({
      status: 409,
      body: { error: { code: "invalid_state" } },
    });
    await setTimeout(2000);
    expect(await platform.request("POST", `/v1/sandboxes/${id}/resume`)).toMatchObject({
      status: 200,
      body: { status: "running", vcpus: 2, memory_mb: 768 },
    });
    const before = Number(await shell(id, "tail -n 1 /dev/shm/n"));
    expect(Math.abs(Number(await shell(id, "date +%s%3N")) - Date.now())).toBeLessThan(5_000);
    await setTimeout(1000);
    expect(Number(await shell(id, "tail -n 1 /dev/shm/n"))).toBeGreaterThan(before);
    expect(await shell(id, "cat /root/file; nproc")).toBe("kept\n2");
    expect(Number(await shell(id, "awk '/MemTotal/ {print int($2/1024)}' /proc/meminfo"))).toBeGreaterThan(650);
    await destroy(id);
  });

  it("ends when its idle time is over", async () => {
    const id = await create({ timeout_sec: 1 });
    const state = async (): Promise<string> => {
      const { status, body } = await platform.request("GET", `/v1/sandboxes/${id}`);
      return status === 404 ? "gone" : body.status;
    };
    await expect.poll(state, { timeout: 30_000, interval: 200 }).toBe("gone");
  });

  it("is gone when it is destroyed while it is being created", async () => {
    const creating = platform.request("POST", "/v1/sandboxes", {});
    let id: string | undefined;
    while (id === undefined) {
      const { body } = await platform.request("GET", "/v1/sandboxes");
      id = body[0]?.id;
    }
    await destroy(id);
    expect((await creating).status).toBeGreaterThanOrEqual(201);
    expect((await platform.request("GET", `/v1/sandboxes/${id}`)).body.status ?? "gone").toBe("gone");
  });
});
