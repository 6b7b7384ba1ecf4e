/**
 * What only a real VM can show of the guest agent: its clock, its randomness, and what goes on over a
 * pause. The rules themselves are tested without one (`docs/reference/envd.md`).
 */
import { setTimeout } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { envdFilesystem } from "@wrenn/protocol";
import type { SandboxView } from "../../apps/host-agent/src/sandbox/manager.ts";
import { startTestHost, type TestHost } from "../../apps/host-agent/src/testing/host-fixture.ts";
import { leakGate } from "../leaks/gate.ts";
import { asRoot, guestOf, pids, run, startAndLeave, upload } from "./guest.ts";

const LIFETIME_MS = 8_000;
const PAUSED_MS = 12_000;
/** When it began, and when it last ran, by the guest's clock that stands still in a pause. */
const NOTES_ITS_LIFE =
  "read -r up _ </proc/uptime; echo $up >/first; while read -r up _ </proc/uptime; do echo $up >/last; sleep 0.2; done";

let host: TestHost;
leakGate(() => ({ directories: [`${host.stateDirectory}/sandboxes`] }));
beforeAll(async () => {
  host = await startTestHost();
});
afterAll(async () => {
  await host.stop();
});

async function pauseAndResume(sandbox: SandboxView): Promise<SandboxView> {
  await host.manager.pause(sandbox.id, sandbox.incarnation);
  await setTimeout(PAUSED_MS);
  return (await host.manager.resume(sandbox.id, sandbox.incarnation + 1, undefined)).sandbox;
}

describe("over a pause", () => {
  it("lifetimes stand still, processes, terminals and watchers go on, and the clock is right", async () => {
    const { sandbox } = await host.manager.create(host.request());
    const before = guestOf(sandbox);
    const limited = await startAndLeave(before, "/bin/bash", ["-c", NOTES_ITS_LIFE], { timeoutMs: LIFETIME_MS });
    const terminal = await startAndLeave(before, "/bin/bash", ["-i"], { pty: { cols: 80, rows: 24 } });
    await run(before, "mkdir /watched");
    const { watcherId } = await before.files.createWatcher({ path: "/watched" }, asRoot);
    await upload(before, "/watched/before", "1");

    const resumed = await pauseAndResume(sandbox);
    const after = guestOf(resumed);
    expect(await pids(after)).toContain(terminal);
    expect(Math.abs(Number(await run(after, "date +%s%3N")) - Date.now())).toBeLessThan(5_000);

    await upload(after, "/watched/after", "2");
    const { events } = await after.files.getWatcherEvents({ watcherId }, asRoot);
    expect(events.map(({ name, type }) => `${name} ${envdFilesystem.EventType[type]}`)).toEqual(
      ["before", "after"].flatMap((name) => [`${name} CREATE`, `${name} CHMOD`, `${name} WRITE`]),
    );

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

    // Of the guest's own time it gets all that it was given, however long the pause was.
    await expect.poll(() => pids(after), { timeout: 15 * LIFETIME_MS, interval: 250 }).not.toContain(limited);
    const [first, last] = (await run(after, "cat /first /last")).split("\n").map(Number) as [number, number];
    expect((last - first) * 1_000).toBeGreaterThan(LIFETIME_MS - 2_000);
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
