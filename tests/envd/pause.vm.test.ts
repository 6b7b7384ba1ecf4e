/**
 * What only a real VM can show of the guest agent: its clock, its randomness, and what goes on over a
 * pause. The rules themselves are tested without one (`docs/reference/envd.md`).
 */
import { setTimeout } from "node:timers/promises";
import { createClient, type Client } from "@connectrpc/connect";
import { createConnectTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { envdFilesystem, envdProcess } from "@wrenn/protocol";
import { planSlot } from "../../apps/host-agent/src/network/addresses.ts";
import type { SandboxView } from "../../apps/host-agent/src/sandbox/manager.ts";
import { startTestHost, type TestHost } from "../../apps/host-agent/src/testing/host-fixture.ts";
import { leakGate } from "../leaks/gate.ts";

const LIFETIME_MS = 8_000;
const PAUSED_MS = 12_000;

let host: TestHost;
leakGate(() => ({ directories: [`${host.stateDirectory}/sandboxes`] }));
beforeAll(async () => {
  host = await startTestHost();
});
afterAll(async () => {
  await host.stop();
});

interface Guest {
  processes: Client<typeof envdProcess.Process>;
  files: Client<typeof envdFilesystem.Filesystem>;
}

/** The guest agent of a running sandbox, spoken to directly. */
function guestOf({ slotIndex, accessToken }: SandboxView): Guest {
  const transport = createConnectTransport({
    baseUrl: `http://${planSlot(slotIndex as number, 0).hostAddress}:49983`,
    httpVersion: "1.1",
    useBinaryFormat: false,
    interceptors: [
      (next) => (request) => {
        request.header.set("X-Access-Token", accessToken);
        return next(request);
      },
    ],
  });
  return {
    processes: createClient(envdProcess.Process, transport),
    files: createClient(envdFilesystem.Filesystem, transport),
  };
}

const asRoot = { headers: { authorization: `Basic ${Buffer.from("root:").toString("base64")}` } };

/** Starts a process, returns its pid, and leaves it to itself. */
async function startAndLeave(
  { processes }: Guest,
  cmd: string,
  args: string[],
  options: { timeoutMs?: number; pty?: boolean } = {},
): Promise<number> {
  const leave = new AbortController();
  const { timeoutMs, pty } = options;
  const stream = processes.start(
    { process: { cmd, args }, ...(pty === true ? { pty: { size: { cols: 80, rows: 24 } } } : { stdin: false }) },
    // The header alone: the client's own deadline would run on the host's clock.
    {
      signal: leave.signal,
      headers: { ...asRoot.headers, ...(timeoutMs === undefined ? {} : { "Connect-Timeout-Ms": String(timeoutMs) }) },
    },
  );
  for await (const { event } of stream) {
    if (event?.event.case !== "start") throw new Error("the first event is not the start");
    setImmediate(() => leave.abort());
    return event.event.value.pid;
  }
  throw new Error("no event");
}

async function run({ processes }: Guest, script: string): Promise<string> {
  let output = "";
  for await (const { event } of processes.start(
    { process: { cmd: "/bin/bash", args: ["-c", script] }, stdin: false },
    asRoot,
  )) {
    if (event?.event.case === "data") output += Buffer.from(event.event.value.output.value ?? []).toString();
  }
  return output.trim();
}

const pids = async ({ processes }: Guest): Promise<number[]> =>
  (await processes.list({})).processes.map(({ pid }) => pid);

async function pauseAndResume(sandbox: SandboxView): Promise<SandboxView> {
  await host.manager.pause(sandbox.id, sandbox.incarnation);
  await setTimeout(PAUSED_MS);
  return (await host.manager.resume(sandbox.id, sandbox.incarnation + 1, undefined)).sandbox;
}

describe("over a pause", () => {
  it("lifetimes stand still, processes, terminals and watchers go on, and the clock is right", async () => {
    const { sandbox } = await host.manager.create(host.request());
    const before = guestOf(sandbox);
    const limited = await startAndLeave(before, "/bin/sleep", ["1000"], { timeoutMs: LIFETIME_MS });
    const terminal = await startAndLeave(before, "/bin/bash", ["-i"], { pty: true });
    await run(before, "mkdir /watched");
    const { watcherId } = await before.files.createWatcher({ path: "/watched" }, asRoot);

    const resumed = await pauseAndResume(sandbox);
    const after = guestOf(resumed);
    expect(await pids(after)).toEqual(expect.arrayContaining([limited, terminal]));
    expect(Math.abs(Number(await run(after, "date +%s%3N")) - Date.now())).toBeLessThan(5_000);

    await run(after, "touch /watched/new");
    const { events } = await after.files.getWatcherEvents({ watcherId }, asRoot);
    expect(events.map(({ name, type }) => [name, envdFilesystem.EventType[type]])).toContainEqual(["new", "CREATE"]);

    const follow = new AbortController();
    let screen = "";
    const stream = after.processes.connect(
      { process: { selector: { case: "pid", value: terminal } } },
      { signal: follow.signal },
    );
    const seen = (async () => {
      for await (const { event } of stream) {
        if (event?.event.case === "data") screen += Buffer.from(event.event.value.output.value ?? []).toString();
        if (screen.includes("sum=42")) return;
      }
    })();
    const input = { input: { case: "pty" as const, value: Buffer.from("echo sum=$((6*7))\n") } };
    await after.processes.sendInput({ process: { selector: { case: "pid", value: terminal } }, input });
    await seen;
    follow.abort();

    // What was left of its time goes on to run, and ends it.
    await expect.poll(() => pids(after), { timeout: 5 * LIFETIME_MS, interval: 250 }).not.toContain(limited);
    await host.manager.destroy(sandbox.id, 0);
  });

  it("a sandbox stays who it is, and no two sandboxes are the same", async () => {
    const identity = "cat /etc/machine-id /etc/hostname /proc/sys/kernel/random/boot_id";
    const { sandbox } = await host.manager.create(host.request());
    const before = await run(guestOf(sandbox), identity);
    await host.manager.pause(sandbox.id, 1);
    const { sandbox: resumed } = await host.manager.resume(sandbox.id, 2, undefined);
    expect(await run(guestOf(resumed), identity)).toBe(before);
    await host.manager.destroy(sandbox.id, 0);

    const { sandbox: other } = await host.manager.create(host.request());
    const lines = (await run(guestOf(other), identity)).split("\n");
    const shared = lines.filter((line) => before.split("\n").includes(line));
    expect(shared).toEqual([]);
    await host.manager.destroy(other.id, 0);
  });
});
