/** A host that is short of something, and guests that take all they can: refusals, pauses, and quiet neighbours. */
import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, stat, statfs } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, it, vi } from "vitest";
import { DISK_STORE, patient } from "../config.ts";
import { leakGate } from "../leaks/gate.ts";
import { AgentHost, SandboxState } from "./agent-process.ts";

let host: AgentHost;
const cleanups: (() => Promise<void>)[] = [];
leakGate();
afterEach(async () => {
  await host.remove();
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

describe("a start without room", () => {
  it.each([
    ["memory", { WRENN_MEMORY_RESERVED_MIB: "100000000" }, /short of memory \(\d+ MiB left, \d+ MiB needed\)/],
    ["disk", { WRENN_DISK_RESERVED_MIB: "100000000" }, /short of disk/],
    ["processes", { WRENN_THREADS_RESERVED: "100000000" }, /short of processes \(\d+ threads left/],
  ])("is refused when %s is short, and leaves nothing", async (_what, env, message) => {
    host = await AgentHost.make();
    await host.start(env);
    await expect(host.create()).rejects.toMatchObject({ code: "capacity", message: expect.stringMatching(message) });
    expect(await readdir(join(host.directory, "sandboxes"))).toEqual([]);
  });

  it("is refused when slots are short; those that run are not touched", async () => {
    host = await AgentHost.make();
    await host.start({ WRENN_SLOT_COUNT: "1", WRENN_SLOT_READY: "0" });
    const sandbox = await host.create();
    await expect(host.create()).rejects.toMatchObject({
      code: "capacity",
      message: expect.stringMatching(/network slot/),
    });
    expect(await host.shell(sandbox, "echo there")).toBe("there");
  });
});

/**
 * Mounts a file system with 2,600 MiB of room, and unmounts it behind the test. A tmpfs where there may be no loop devices;
 * not for device-mapper, whose loop devices want direct I/O, and not in the testbed, which has not the memory.
 * @returns what makes room for more
 */
async function mountSmall(directory: string): Promise<() => Promise<void>> {
  const image = `${directory}.img`;
  cleanups.push(async () => {
    await vi.waitFor(() => execFileSync("umount", [directory], { stdio: "pipe" }), {
      timeout: patient(5_000),
      interval: 100,
    });
    await rm(directory, { recursive: true });
    await rm(image, { force: true });
  });
  if (DISK_STORE === "qcow2" && process.env["TESTBED_EXCHANGE"] === undefined) {
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=2600m,mode=711", "tmpfs", directory]);
    return async () => void execFileSync("mount", ["-o", "remount,size=8g", directory]);
  }
  execFileSync("truncate", ["-s", "8g", image]);
  execFileSync("mkfs.xfs", ["-q", "-m", "reflink=1", image]);
  execFileSync("mount", ["-o", "loop", image, directory]);
  await chmod(directory, 0o711);
  const filler = join(directory, "filler");
  const { bavail, bsize } = await statfs(directory);
  execFileSync("fallocate", ["-l", String(bavail * bsize - 2_600 * 1024 * 1024), filler]);
  return async () => await rm(filler);
}

describe("low disk", () => {
  it("pauses who writes before the file system is full; neighbours go on, and it resumes when there is room", async () => {
    const directory = await mkdtemp("/tmp/wrenn-small-");
    const makeRoom = await mountSmall(directory);
    const state = join(directory, "state");
    await mkdir(state);
    host = await AgentHost.make(state);
    await host.start({ WRENN_DISK_RESERVED_MIB: "1400" });
    const [quiet, writer] = await Promise.all([host.create(), host.create()]);
    await host.shell(writer, "echo before > /root/file; sync");
    const writing = host
      .shell(writer, "dd if=/dev/zero of=/root/fill bs=1M count=1500 conv=fsync 2>/dev/null; echo wrote")
      .catch(() => "cut");
    const paused = await host.reached(writer.id, SandboxState.PAUSED, patient(90_000));
    await writing;
    await vi.waitFor(
      async () => expect((await host.get(writer.id))?.reason).toBe("the host was short of disk"),
      patient(10_000),
    );
    expect(paused.resumable).toBe(true);
    expect(await host.shell(quiet, "echo written > /root/file; sync; cat /root/file")).toBe("written");
    await expect(host.client.resumeSandbox({ id: writer.id, incarnation: 2n })).rejects.toMatchObject({
      code: "capacity",
    });
    await makeRoom();
    await host.client.resumeSandbox({ id: writer.id, incarnation: 2n });
    expect(await host.shell({ id: writer.id, incarnation: 2n }, "cat /root/file")).toBe("before");
  });
});

describe("a guest that takes all it can", () => {
  it("fills disk, memory, console and connections and forks without end, and hurts neither neighbour nor host", async () => {
    host = await AgentHost.make();
    await host.start({ WRENN_NET_CONNECTIONS: "64" });
    const [quiet, wild] = await Promise.all([host.create(), host.create()]);
    const everything = [
      "yes console > /dev/ttyS0 &",
      "head -c 100000000000 /dev/zero | tail > /dev/null &", // keeps all of it in memory
      "cat /dev/zero > /root/fill &",
      "while :; do for n in $(seq 200); do (echo > /dev/tcp/203.0.113.53/$((RANDOM+1))) & done 2>/dev/null; sleep 0.2; done &",
      "bomb() { bomb | bomb & }; bomb",
    ].join("\n");
    await host.shell(wild, `setsid nohup bash -c '${everything}' >/dev/null 2>&1 &`);
    const agentMemory = async (): Promise<number> =>
      Number(/^VmRSS:\s+(\d+)/m.exec(await readFile(`/proc/${host.pid}/status`, "utf8"))?.[1]) * 1024;
    const before = await agentMemory();
    for (let round = 0; round < 10; round++) {
      expect(await host.shell(quiet, `echo ${round} > /root/file; sync; cat /root/file`)).toBe(String(round));
      await new Promise((resolve) => setTimeout(resolve, 1_000));
    }
    const metrics = await host.text("/metrics");
    const connections = new RegExp(`wrenn_sandbox_connections\\{sandbox="${wild.id}"\\} (\\d+)`).exec(metrics)?.[1];
    expect(Number(connections)).toBeLessThanOrEqual(64 + 16); // those of the agent to it are no guest's
    const root = join(host.directory, "sandboxes", wild.id);
    const consoles = (await readdir(root)).filter((name) => name.startsWith("console.log"));
    const sizes = await Promise.all(consoles.map(async (name) => (await stat(join(root, name))).size));
    expect(sizes.reduce((sum, size) => sum + size, 0)).toBeLessThanOrEqual(256 * 1024);
    expect((await agentMemory()) - before).toBeLessThan(256 * 1024 * 1024);
    expect(host.log.join("\n")).not.toContain("console");
    await host.client.destroySandbox(wild.id);
    expect((await host.get(quiet.id))?.state).toBe(SandboxState.RUNNING);
  });
});
