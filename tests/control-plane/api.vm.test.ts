/** The routes of the native API that need a host agent, on real VMs. */
import { createHash, randomBytes } from "node:crypto";
import { request as httpRequest } from "node:http";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { patient } from "../config.ts";
import { startPlatform, type Platform } from "../first-light/platform.ts";
import { leakGate } from "../leaks/gate.ts";
import { ExecClient } from "./exec-client.ts";

/** How much later than promised something may happen on a busy machine. */
const PATIENCE_MS = patient(20_000);

let platform: Platform;
const made = new Set<string>();

leakGate(() => ({
  stateDirectory: platform.directory,
  directories: [join(platform.directory, "sandboxes")],
  // The database's own workers come and go.
  ignore: (kind, item) => kind === "process" && item.includes("postgres"),
}));

beforeAll(async () => {
  platform = await startPlatform({ WRENN_SLOT_FIRST: "23500" });
});
afterAll(async () => {
  await platform?.stop();
});
afterEach(async () => {
  for (const id of made) await call("DELETE", `/v1/sandboxes/${id}`);
  made.clear();
  const left = (await call("GET", "/v1/sandboxes")).body as { id: string }[];
  if (left.length > 0) throw new Error(`the test left sandboxes: ${JSON.stringify(left)}`);
});

const call = async (method: string, path: string, body?: unknown) => await platform.request(method, path, body);

async function create(settings: Record<string, unknown> = {}): Promise<string> {
  const { status, body } = await call("POST", "/v1/sandboxes", settings);
  expect({ status, body }).toMatchObject({ status: 201, body: { status: "running" } });
  made.add(body.id);
  return body.id as string;
}

const exec = async (id: string, request: Record<string, unknown>) =>
  await call("POST", `/v1/sandboxes/${id}/exec`, request);
const shell = async (id: string, script: string) => await exec(id, { cmd: "bash", args: ["-c", script], user: "root" });

/** The sandbox once it is in `status`. */
async function untilStatus(id: string, status: string): Promise<Record<string, unknown>> {
  return await vi.waitUntil(
    async () => {
      const { body } = await call("GET", `/v1/sandboxes/${id}`);
      return body.status === status ? (body as Record<string, unknown>) : false;
    },
    { timeout: PATIENCE_MS, interval: 100 },
  );
}

async function files(
  method: string,
  id: string,
  path: string,
  options: { body?: Buffer; headers?: Record<string, string>; user?: string } = {},
) {
  const query = new URLSearchParams({ path, ...(options.user === undefined ? {} : { user: options.user }) });
  return await fetch(`${platform.url}/v1/sandboxes/${id}/files?${query.toString()}`, {
    method,
    headers: { "x-api-key": platform.apiKey, ...options.headers },
    ...(options.body === undefined ? {} : { body: options.body }),
  });
}

const sha256 = (data: Uint8Array) => createHash("sha256").update(data).digest("hex");

describe("sandboxes", () => {
  it("are made as asked, shown, listed, and destroyed for good", async () => {
    const { status, body, headers } = await call("POST", "/v1/sandboxes", {
      template: "base",
      vcpus: 1,
      memory_mb: 512,
      timeout_sec: 600,
      max_lifetime_sec: 3_600,
      on_timeout: "pause",
      envs: { GREETING: "hello there" },
      metadata: { purpose: "test" },
    });
    made.add(body.id);
    expect({ status, body }).toMatchObject({
      status: 201,
      body: {
        status: "running",
        template: "base",
        vcpus: 1,
        memory_mb: 512,
        timeout_sec: 600,
        on_timeout: "pause",
        metadata: { purpose: "test" },
      },
    });
    expect(headers.get("location")).toBe(`/v1/sandboxes/${body.id}`);
    expect(Date.parse(body.end_at) - Date.parse(body.started_at)).toBe(3_600_000);
    expect((await call("GET", `/v1/sandboxes/${body.id}`)).body).toMatchObject({ id: body.id, status: "running" });
    expect((await call("GET", "/v1/sandboxes?status=running")).body.map((s: { id: string }) => s.id)).toEqual([
      body.id,
    ]);
    expect((await exec(body.id, { cmd: "printenv", args: ["GREETING"] })).body).toMatchObject({
      stdout: "hello there\n",
    });
    expect((await call("DELETE", `/v1/sandboxes/${body.id}`)).status).toBe(204);
    expect((await call("DELETE", `/v1/sandboxes/${body.id}`)).status).toBe(204);
    expect((await call("GET", `/v1/sandboxes/${body.id}`)).body).toMatchObject({
      status: "gone",
      reason: expect.any(String),
    });
    expect((await exec(body.id, { cmd: "true" })).body).toMatchObject({ error: { code: "invalid_state" } });
  });

  it("go on where they were after pause and resume, also a process", async () => {
    const id = await create({ timeout_sec: 0 });
    await shell(id, "nohup bash -c 'for ((i=0;;i++)); do echo $i > /tmp/count; sleep 0.1; done' > /dev/null 2>&1 &");
    const paused = await call("POST", `/v1/sandboxes/${id}/pause`);
    expect(paused).toMatchObject({ status: 200, body: { status: "paused" } });
    expect(await call("POST", `/v1/sandboxes/${id}/pause`)).toMatchObject({
      status: 409,
      body: { error: { code: "invalid_state" } },
    });
    expect(await exec(id, { cmd: "true" })).toMatchObject({
      status: 409,
      body: { error: { code: "invalid_state", hint: "Resume it first" } },
    });
    const resumed = await call("POST", `/v1/sandboxes/${id}/resume`);
    expect(resumed).toMatchObject({
      status: 200,
      body: { status: "running", vcpus: 1, memory_mb: 512, timeout_sec: 0 },
    });
    expect(await call("POST", `/v1/sandboxes/${id}/resume`)).toMatchObject({
      status: 409,
      body: { error: { code: "invalid_state" } },
    });
    const count = async () => Number((await shell(id, "cat /tmp/count")).body.stdout);
    const first = await count();
    await vi.waitUntil(async () => (await count()) > first, { timeout: PATIENCE_MS });
  });

  it("are destroyed while they are made, and the destroy wins", async () => {
    const creating = call("POST", "/v1/sandboxes", {});
    const { id } = await vi.waitUntil(
      async () => (await call("GET", "/v1/sandboxes?status=creating,running")).body[0] as { id: string } | undefined,
      { timeout: PATIENCE_MS, interval: 5 },
    );
    expect((await call("DELETE", `/v1/sandboxes/${id}`)).status).toBe(204);
    const { status } = await creating;
    expect([201, 409]).toContain(status); // 201 when it was quicker
    expect((await call("GET", `/v1/sandboxes/${id}`)).body).toMatchObject({ status: "gone" });
  });

  it("are made to the end when the client goes away, and can be used then", async () => {
    const leave = new AbortController();
    const request = fetch(`${platform.url}/v1/sandboxes`, {
      method: "POST",
      headers: { "x-api-key": platform.apiKey, "content-type": "application/json" },
      body: JSON.stringify({ metadata: { left: "yes" } }),
      signal: leave.signal,
    }).catch(() => undefined);
    const { id } = await vi.waitUntil(
      async () => (await call("GET", "/v1/sandboxes?status=creating,running")).body[0] as { id: string } | undefined,
      { timeout: PATIENCE_MS, interval: 5 },
    );
    made.add(id);
    leave.abort();
    await request;
    await untilStatus(id, "running");
    expect((await exec(id, { cmd: "true" })).body).toMatchObject({ exit_code: 0 });
  });

  it("end when nobody uses them: destroyed, or paused when that was asked for", async () => {
    const [destroyed, paused] = await Promise.all([
      create({ timeout_sec: 2 }),
      create({ timeout_sec: 2, on_timeout: "pause" }),
    ]);
    expect(await untilStatus(destroyed, "gone")).toMatchObject({ reason: expect.stringContaining("time") });
    await untilStatus(paused, "paused");
    expect(await call("POST", `/v1/sandboxes/${paused}/resume`)).toMatchObject({
      status: 200,
      body: { status: "running", timeout_sec: 2 },
    });
    await untilStatus(paused, "paused");
  });

  it("end at their maximum lifetime, however busy they are", async () => {
    const id = await create({ timeout_sec: 0, max_lifetime_sec: 3 });
    const client = new ExecClient(platform, id, { type: "start", cmd: "sleep", args: ["1000"] });
    await client.until((frame) => frame.type === "start");
    await untilStatus(id, "gone");
    expect(await client.end()).toMatchObject({ type: expect.stringMatching(/^(exit|error)$/) });
  });

  it("are kept alive by ping, by streams and by a longer timeout", async () => {
    const [pinged, streamed, extended] = await Promise.all([
      create({ timeout_sec: 4 }),
      create({ timeout_sec: 4 }),
      create({ timeout_sec: 4 }),
    ]);
    const client = new ExecClient(platform, streamed, { type: "start", cmd: "sleep", args: ["1000"] });
    await client.until((frame) => frame.type === "start");
    expect(await call("POST", `/v1/sandboxes/${extended}/timeout`, { timeout_sec: 600 })).toMatchObject({
      status: 200,
      body: { timeout_sec: 600 },
    });
    for (let i = 0; i < 8; i++) {
      await delay(1_000);
      expect((await call("POST", `/v1/sandboxes/${pinged}/ping`)).status).toBe(204);
    }
    for (const id of [pinged, streamed, extended])
      expect((await call("GET", `/v1/sandboxes/${id}`)).body).toMatchObject({ status: "running" });
    client.socket.close();
    await untilStatus(streamed, "gone");
  });

  it("show the host's refusal, and leave nothing of it", async () => {
    const { body: before } = await call("GET", "/v1/sandboxes?status=failed,gone&limit=1");
    const { status, body } = await call("POST", "/v1/sandboxes", { disk_mb: 1_048_576, memory_mb: 512, vcpus: 64 });
    expect({ status, body }).toMatchObject({ status: 400, body: { error: { code: "invalid_request" } } });
    expect((await call("GET", "/v1/sandboxes?status=failed,gone&limit=1")).body).toEqual(before);
  });
});

describe("exec", () => {
  it("tells outputs, exit code and signal", async () => {
    const id = await create({ timeout_sec: 0 });
    expect((await shell(id, "echo out; echo err >&2; exit 42")).body).toMatchObject({
      stdout: "out\n",
      stderr: "err\n",
      exit_code: 42,
      encoding: "utf-8",
      truncated: false,
      oom: false,
    });
    expect((await shell(id, "kill -TERM $$")).body).toMatchObject({ exit_code: 143, signal: "SIGTERM" });
    const bytes = await shell(id, "printf '\\377\\000\\001'; echo text >&2");
    expect(bytes.body.encoding).toBe("base64");
    expect([Buffer.from(bytes.body.stdout, "base64"), Buffer.from(bytes.body.stderr, "base64").toString()]).toEqual([
      Buffer.from([255, 0, 1]),
      "text\n",
    ]);
    const input = randomBytes(300_000);
    const hashed = await exec(id, { cmd: "sha256sum", stdin: input.toString("base64"), stdin_encoding: "base64" });
    expect(hashed.body.stdout.slice(0, 64)).toBe(sha256(input));
    expect(
      (
        await exec(id, {
          cmd: "bash",
          args: ["-c", 'echo "$A|$PWD|$(id -un)"'],
          envs: { A: "b c" },
          cwd: "/tmp",
          user: "root",
        })
      ).body.stdout,
    ).toBe("b c|/tmp|root\n");
    expect((await exec(id, { cmd: "cat" })).body).toMatchObject({ stdout: "", exit_code: 0 });
  });

  it("says what cannot be started", async () => {
    const id = await create({ timeout_sec: 0 });
    for (const request of [
      { cmd: "/no/such/program" },
      { cmd: "true", user: "nobody-here" },
      { cmd: "true", cwd: "/no/such/directory" },
    ]) {
      expect(await exec(id, request)).toMatchObject({ status: 400, body: { error: { code: "command_failed" } } });
    }
  });

  it("kills at the timeout, with all that was started, and answers with what there was", async () => {
    const id = await create({ timeout_sec: 0 });
    const { status, body } = await exec(id, {
      cmd: "bash",
      args: ["-c", "echo begun; sleep 987 & sleep 987"],
      timeout_sec: 1,
    });
    expect({ status, body }).toMatchObject({
      status: 504,
      body: { error: { code: "timeout" }, partial: { stdout: "begun\n", encoding: "utf-8" } },
    });
    await vi.waitUntil(async () => (await shell(id, "pgrep -fc '^sleep 987' || true")).body.stdout === "0\n", {
      timeout: PATIENCE_MS,
    });
  });

  it("keeps the first 8 MiB and lets the program run to its end", async () => {
    const id = await create({ timeout_sec: 0 });
    const { body } = await exec(id, {
      cmd: "bash",
      args: ["-c", "head -c 10000000 /dev/zero | tr '\\0' a; echo done > /tmp/done"],
      timeout_sec: 120,
    });
    expect({ ...body, stdout: body.stdout.length }).toMatchObject({ stdout: 8_388_608, truncated: true, exit_code: 0 });
    expect((await shell(id, "cat /tmp/done")).body.stdout).toBe("done\n");
  });

  it("kills when the caller goes away", async () => {
    const id = await create({ timeout_sec: 0 });
    const leave = new AbortController();
    const gone = fetch(`${platform.url}/v1/sandboxes/${id}/exec`, {
      method: "POST",
      headers: { "x-api-key": platform.apiKey, "content-type": "application/json" },
      body: JSON.stringify({ cmd: "sleep", args: ["654"], timeout_sec: 600 }),
      signal: leave.signal,
    }).catch(() => undefined);
    const running = async () => Number((await shell(id, "pgrep -fc '^sleep 654' || true")).body.stdout);
    await vi.waitUntil(async () => (await running()) === 1, { timeout: PATIENCE_MS });
    leave.abort();
    await gone;
    await expect.poll(running, { timeout: PATIENCE_MS }).toBe(0);
  });
});

describe("exec/stream", () => {
  it("keeps characters whole that come in pieces, and bytes exact in base64", async () => {
    const id = await create();
    const text = new ExecClient(platform, id, {
      type: "start",
      cmd: "bash",
      args: ["-c", "printf '\\303'; sleep 0.3; printf '\\251'; echo problem >&2; exit 3"],
    });
    expect(await text.end()).toMatchObject({ type: "exit", exit_code: 3, oom: false });
    expect([text.output("stdout").toString(), text.output("stderr").toString()]).toEqual(["é", "problem\n"]);
    expect(await text.closed).toEqual({ code: 1_000, reason: "" });
    const bytes = new ExecClient(platform, id, {
      type: "start",
      cmd: "bash",
      args: ["-c", "head -c 3000000 /dev/urandom | tee /tmp/bytes"],
      encoding: "base64",
    });
    await bytes.end();
    const hash = (await shell(id, "sha256sum < /tmp/bytes")).body.stdout.slice(0, 64);
    expect(sha256(bytes.output("stdout"))).toBe(hash);
  });

  it("feeds standard input in order and tells its end", async () => {
    const id = await create();
    const client = new ExecClient(platform, id, { type: "start", cmd: "sha256sum", stdin: true });
    await client.until((frame) => frame.type === "start");
    const input = randomBytes(2_000_000);
    for (let at = 0; at < input.length; at += 50_000) client.sendInput(input.subarray(at, at + 50_000));
    client.send({ type: "close_stdin" });
    expect(await client.end()).toMatchObject({ type: "exit", exit_code: 0 });
    expect(client.output("stdout").toString().slice(0, 64)).toBe(sha256(input));
  });

  it("sends signals, and stop kills everything that was started", async () => {
    const id = await create();
    const trapped = new ExecClient(platform, id, {
      type: "start",
      cmd: "bash",
      args: ["-c", "trap 'echo caught; exit 9' INT; echo ready; while :; do sleep 0.05; done"],
    });
    await trapped.until((frame) => frame.type === "stdout");
    trapped.send({ type: "signal", signal: "SIGINT" });
    expect(await trapped.end()).toMatchObject({ type: "exit", exit_code: 9 });
    expect(trapped.output("stdout").toString()).toBe("ready\ncaught\n");
    const stopped = new ExecClient(platform, id, {
      type: "start",
      cmd: "bash",
      args: ["-c", "sleep 765 & echo ready; wait"],
    });
    await stopped.until((frame) => frame.type === "stdout");
    stopped.send({ type: "stop" });
    expect(await stopped.end()).toMatchObject({ type: "exit", exit_code: 137, signal: "SIGKILL" });
    await vi.waitUntil(async () => (await shell(id, "pgrep -fc '^sleep 765' || true")).body.stdout === "0\n", {
      timeout: PATIENCE_MS,
    });
  });

  it("gives a terminal, and changes its size", async () => {
    const id = await create();
    const client = new ExecClient(platform, id, {
      type: "start",
      cmd: "bash",
      args: ["--norc"],
      pty: { cols: 80, rows: 24 },
      envs: { PS1: "$ ", TERM: "xterm" },
    });
    await client.until((frame) => frame.type === "pty");
    client.sendInput("stty size\n");
    await client.until(
      (_, all) => all.some((frame) => frame.type === "pty") && client.output("pty").toString().includes("24 80"),
    );
    client.send({ type: "resize", cols: 100, rows: 40 });
    client.sendInput("stty size\n");
    await client.until(() => client.output("pty").toString().includes("40 100"));
    client.sendInput("exit 5\n");
    expect(await client.end()).toMatchObject({ type: "exit", exit_code: 5 });
  });

  it("kills the program of a client that leaves, unless it is to be kept", async () => {
    const id = await create();
    const running = async (seconds: number) =>
      Number((await shell(id, `pgrep -fc '^sleep ${seconds}' || true`)).body.stdout);
    for (const [seconds, on_disconnect, after] of [
      [111, "kill", 0],
      [222, "keep", 1],
    ] as const) {
      const client = new ExecClient(platform, id, {
        type: "start",
        cmd: "sleep",
        args: [String(seconds)],
        on_disconnect,
      });
      await client.until((frame) => frame.type === "start");
      client.socket.terminate();
      await client.closed;
      if (after === 0) await vi.waitUntil(async () => (await running(seconds)) === 0, { timeout: PATIENCE_MS });
      else await delay(1_500);
      expect(await running(seconds)).toBe(after);
    }
  });

  it("holds the program back while the client does not read", async () => {
    const id = await create({ timeout_sec: 0 });
    const program = [
      "import sys",
      "for i in range(400):",
      "    sys.stdout.buffer.write(bytes(100_000))",
      "    sys.stdout.flush()",
      "    open('/tmp/written', 'w').write(str(i))",
    ];
    const client = new ExecClient(platform, id, {
      type: "start",
      cmd: "python3",
      args: ["-c", program.join("\n")],
      encoding: "base64",
    });
    await client.until((frame) => frame.type === "stdout");
    client.socket.pause();
    const written = async () => Number((await shell(id, "cat /tmp/written || echo 0")).body.stdout);
    // it comes to rest somewhere below its 40 MB: what is on the way is bounded
    let last = -1;
    await vi.waitUntil(
      async () => {
        const now = await written();
        const rests = now === last;
        last = now;
        return rests;
      },
      { timeout: PATIENCE_MS, interval: 1_000 },
    );
    expect(last).toBeLessThan(390);
    client.socket.resume();
    expect(await client.end()).toMatchObject({ type: "exit", exit_code: 0 });
    expect(client.output("stdout").length).toBe(40_000_000);
  });

  it("tells what cannot be started, and what a frame is not", async () => {
    const id = await create();
    const nothing = new ExecClient(platform, id, { type: "start", cmd: "/no/such/program" });
    expect(await nothing.end()).toMatchObject({
      type: "error",
      data: expect.stringContaining("/no/such/program"),
      error: { code: "command_failed" },
    });
    expect(await nothing.closed).toEqual({ code: 1_011, reason: "command_failed" });
    const wrong = new ExecClient(platform, id, { type: "start", cmd: "sleep", args: ["333"] });
    await wrong.until((frame) => frame.type === "start");
    wrong.socket.send('{"type":"signal","signal":"SIGNOPE"}');
    expect(await wrong.end()).toMatchObject({
      type: "error",
      error: { code: "invalid_request", message: expect.stringContaining("SIGHUP") },
    });
    await vi.waitUntil(async () => (await shell(id, "pgrep -fc '^sleep 333' || true")).body.stdout === "0\n", {
      timeout: PATIENCE_MS,
    });
  });
});

describe("files", () => {
  it("go in and come out unchanged, whole and in ranges, whatever their content type says", async () => {
    const id = await create({ timeout_sec: 0 });
    const data = randomBytes(30_000_000);
    const written = await files("PUT", id, "/home/user/deep/er/data.bin", {
      body: data,
      headers: { "content-type": "application/json" },
    });
    expect([written.status, await written.json()]).toEqual([
      200,
      { path: "/home/user/deep/er/data.bin", size: data.length },
    ]);
    expect((await shell(id, "sha256sum < /home/user/deep/er/data.bin")).body.stdout.slice(0, 64)).toBe(sha256(data));
    const read = await files("GET", id, "/home/user/deep/er/data.bin");
    expect([read.status, read.headers.get("content-type"), read.headers.get("content-length")]).toEqual([
      200,
      "application/octet-stream",
      String(data.length),
    ]);
    expect(sha256(new Uint8Array(await read.arrayBuffer()))).toBe(sha256(data));
    const part = await files("GET", id, "/home/user/deep/er/data.bin", { headers: { range: "bytes=1000-1999" } });
    expect([part.status, part.headers.get("content-range")]).toEqual([206, `bytes 1000-1999/${data.length}`]);
    expect(Buffer.from(await part.arrayBuffer())).toEqual(data.subarray(1_000, 2_000));
    const empty = await files("PUT", id, "/tmp/empty", { body: Buffer.alloc(0) });
    expect([empty.status, await empty.json()]).toEqual([200, { path: "/tmp/empty", size: 0 }]);
    expect(await (await files("GET", id, "/tmp/empty")).text()).toBe("");
  });

  it("belong to the user that was named", async () => {
    const id = await create();
    await files("PUT", id, "/tmp/of-root", { body: Buffer.from("x"), user: "root" });
    expect((await shell(id, "stat -c %U /tmp/of-root")).body.stdout).toBe("root\n");
  });

  it("answer errors before the first byte, not half a success", async () => {
    const id = await create();
    const missing = await files("GET", id, "/no/such/file");
    expect([missing.status, await missing.json()]).toMatchObject([
      404,
      { error: { code: "not_found", request_id: expect.any(String) } },
    ]);
    const directory = await files("GET", id, "/etc");
    expect([directory.status, await directory.json()]).toMatchObject([400, { error: { code: "invalid_request" } }]);
    const onDirectory = await files("PUT", id, "/etc", { body: randomBytes(5_000_000) });
    expect([onDirectory.status, await onDirectory.json()]).toMatchObject([400, { error: { code: "invalid_request" } }]);
    const stranger = await files("PUT", id, "/tmp/x", { body: Buffer.from("x"), user: "nobody-here" });
    expect([stranger.status, await stranger.json()]).toMatchObject([400, { error: { code: "invalid_request" } }]);
  });

  it("are not taken for whole when the caller goes away in the middle", async () => {
    const id = await create();
    const query = new URLSearchParams({ path: "/tmp/half" });
    const upload = httpRequest(`${platform.url}/v1/sandboxes/${id}/files?${query.toString()}`, {
      method: "PUT",
      headers: { "x-api-key": platform.apiKey, "content-length": "10000000" },
    });
    upload.on("error", () => undefined);
    upload.write(randomBytes(1_000_000));
    await delay(500);
    upload.destroy();
    await new Promise((resolve) => upload.once("close", resolve));
    expect((await shell(id, "sleep 0.5; true")).body.exit_code).toBe(0); // the sandbox is well
    expect((await (await files("GET", id, "/tmp/half")).arrayBuffer()).byteLength).toBeLessThan(10_000_000);
  });
});

describe("the platform", () => {
  it("is healthy, and lists the built-in templates", async () => {
    expect(await call("GET", "/health")).toMatchObject({ status: 200, body: { status: "ok" } });
    const { body } = await call("GET", "/v1/templates");
    expect(body.map((template: { name: string }) => template.name).sort()).toEqual(["base", "minimal"]);
  });
});
