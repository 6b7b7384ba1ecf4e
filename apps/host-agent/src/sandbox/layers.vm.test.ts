import { mkdir, readdir, readFile, writeFile, chmod } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { patient, VMM } from "../../../../tests/config.ts";
import { leakGate } from "../../../../tests/leaks/gate.ts";
import { runInGuest } from "../envd/run-in-guest.ts";
import { COLLAPSE_GENERATIONS } from "../snapshot/policy.ts";
import { openLayer, type Layer } from "../snapshot/layer.ts";
import { flattenLayer } from "../snapshot/rewrite-layer.ts";
import { verifyLayer } from "../snapshot/verify-layer.ts";
import { workingSetPathOf } from "../snapshot/working-set.ts";
import { startTestHost, type TestHost } from "../testing/host-fixture.ts";
import { stopLeftover } from "../vmm/shim.ts";
import type { SandboxView } from "./manager.ts";

const MIB = 1024 * 1024;
const signal = (): AbortSignal => AbortSignal.timeout(patient(120_000));
let host: TestHost;
leakGate(() => ({
  stateDirectory: host.stateDirectory,
  directories: [`${host.stateDirectory}/sandboxes`],
  ignore: (kind, item) => kind === "process" && item.includes("wrenn-pager"), // it is killed, and another one comes
}));

beforeAll(async () => {
  host = await startTestHost();
});
afterAll(async () => {
  await host.stop();
});

const create = async (): Promise<SandboxView> => (await host.manager.create(host.request())).sandbox;

async function shell({ id, incarnation }: SandboxView, script: string): Promise<string> {
  using lease = host.manager.use(id, incarnation);
  const { exitCode, output } = await runInGuest(lease.agent, ["/bin/bash", "-c", script], "root", signal());
  if (exitCode !== 0) throw new Error(`exit ${exitCode}: ${output}`);
  return output.trim();
}

const sandboxDirectory = (id: string): string => join(host.stateDirectory, "sandboxes", id);
/** What is joined behind a sandbox may take the place of its last layer, and the old one away, at any time. */
async function lastLayer(id: string): Promise<Layer> {
  const buildId = host.manager.get(id).layer as string;
  try {
    return await openLayer(join(sandboxDirectory(id), "layers", buildId));
  } catch (error) {
    if (host.manager.get(id).layer === buildId) throw error;
    return await lastLayer(id);
  }
}
const entries = async (id: string, kind: "layers" | "disks"): Promise<string[]> =>
  await readdir(join(sandboxDirectory(id), kind));

async function pauseAndResume(sandbox: SandboxView): Promise<SandboxView> {
  await host.manager.pause(sandbox.id, sandbox.incarnation);
  return (await host.manager.resume(sandbox.id, sandbox.incarnation + 1, undefined)).sandbox;
}

async function expectIntact(layer: Layer): Promise<void> {
  const files = await verifyLayer(layer, { pager: host.pager, disks: host.disks }, signal());
  expect(files.filter(({ problem }) => problem !== undefined)).toEqual([]);
}

describe("the layers of a sandbox", () => {
  it("are differences, each of what came after the one before, until they are joined behind it", async () => {
    let sandbox = await create();
    await shell(sandbox, "head -c 8M /dev/urandom > /dev/shm/first; sha256sum /dev/shm/first > /root/sum; sync");
    await host.manager.pause(sandbox.id, 1);
    const first = await lastLayer(sandbox.id);
    expect(first.meta.generation).toBe(1);
    expect(first.meta.memory?.dataBytes).toBeGreaterThan(8 * MIB);
    await writeFile(workingSetPathOf(first.directory), "no working set: what it says is nobody's concern here");
    sandbox = (await host.manager.resume(sandbox.id, 2, undefined)).sandbox;
    sandbox = await pauseAndResume(sandbox);
    const second = await lastLayer(sandbox.id);
    expect(second.meta.generation).toBe(2);
    // The eight mebibytes of the first one are not written again.
    expect(second.meta.memory?.dataBytes).toBeLessThan(8 * MIB);
    expect(Object.keys(second.meta.memory?.builds ?? {})).toContain(first.meta.buildId);
    await expectIntact(second);

    const old = new Set([first.meta.buildId, second.meta.buildId]);
    while ((await lastLayer(sandbox.id)).meta.generation > 1) {
      const generation = (await lastLayer(sandbox.id)).meta.generation;
      expect(generation).toBeLessThanOrEqual(COLLAPSE_GENERATIONS + 3);
      await shell(sandbox, `echo ${generation} >> /root/generations; echo ${generation} > /dev/shm/generation`);
      old.add((await lastLayer(sandbox.id)).meta.buildId);
      sandbox = await pauseAndResume(sandbox);
      if (generation + 1 >= COLLAPSE_GENERATIONS)
        await until(async () => (await lastLayer(sandbox.id)).meta.generation === 1);
    }
    const joined = await lastLayer(sandbox.id);
    await expectIntact(joined);
    // It went along with every pause, and with the joining, unless the guest was on the pager, which records a new one.
    const workingSet = await readFile(workingSetPathOf(joined.directory), "utf8");
    expect(workingSet.includes("no working set")).toBe(VMM === "qemu");
    // Its golden snapshot's, unless that was cloned, and its template's.
    expect(joined.meta.disk.backingPaths.length).toBeLessThanOrEqual(2);
    expect(
      await shell(sandbox, "sha256sum -c /root/sum && tail -n 1 /root/generations && cat /dev/shm/generation"),
    ).toMatch(new RegExp(`OK\n${COLLAPSE_GENERATIONS - 1}\n${COLLAPSE_GENERATIONS - 1}$`));
    // From the joined layer on, and without the old ones.
    await host.manager.pause(sandbox.id, sandbox.incarnation);
    // Joined again at once if the VM that was paused still had all of the disks.
    expect((await lastLayer(sandbox.id)).meta.generation).toBeLessThanOrEqual(2);
    // what nothing stands on is removed behind the answer, with the end of the VM
    await vi.waitFor(
      async () => expect((await entries(sandbox.id, "layers")).filter((buildId) => old.has(buildId))).toEqual([]),
      { timeout: patient(10_000) },
    );
    sandbox = (await host.manager.resume(sandbox.id, sandbox.incarnation + 1, undefined)).sandbox;
    expect(await shell(sandbox, "sha256sum -c /root/sum && wc -l < /root/generations")).toContain("OK");
    await host.manager.destroy(sandbox.id, 0);
  });

  it("are taken of a running sandbox too, which goes on; and outlive its next pauses while they are held", async () => {
    const sandbox = await create();
    await shell(sandbox, "echo before > /root/when; echo before > /dev/shm/when");
    const held = await host.manager.holdPresentLayer(sandbox.id, 1);
    const [inTheFreeze, behindIt] =
      host.disks.sealCopy === undefined ? ["switch-disk", ["seal", "publish"]] : ["copy-disk", ["publish"]];
    expect(held.stages.map(({ name }) => name)).toEqual([
      "pre-flush",
      "freeze",
      "capture",
      inTheFreeze,
      "thaw",
      ...behindIt,
    ]);
    await shell(sandbox, "echo after > /root/when; echo after > /dev/shm/when; sync");
    const resumed = await pauseAndResume(sandbox);
    expect(await shell(resumed, "cat /root/when /dev/shm/when")).toBe("after\nafter");
    await expectIntact(held.layer);
    expect(held.layer.meta.generation).toBe(1);
    expect((await lastLayer(sandbox.id)).meta.generation).toBe(2);

    const parent = join(host.stateDirectory, "flat");
    await mkdir(parent);
    const target = { buildId: "flat", parent, diskDirectory: parent, diskId: "disk" };
    const tools = { pager: host.pager, disks: host.disks };
    const flat = await flattenLayer(held.layer, target, undefined, tools, signal());
    expect(flat.meta).toMatchObject({ generation: 0, disk: { backingPaths: [] }, memory: { accumulatedBytes: 0 } });
    await expectIntact(flat);
    held[Symbol.dispose]();

    // What was captured is what it goes back to when it dies.
    const again = await host.manager.holdPresentLayer(sandbox.id, 2);
    again[Symbol.dispose]();
    await shell(resumed, "echo lost > /root/when; sync");
    await stopLeftover(sandboxDirectory(sandbox.id));
    await until(async () => host.manager.get(sandbox.id).state === "failed");
    const back = (await host.manager.resume(sandbox.id, 3, undefined)).sandbox;
    expect(await shell(back, "cat /root/when /dev/shm/when")).toBe("after\nafter");
    await host.manager.destroy(sandbox.id, 0);
  });

  it("are refused when the host differs, which a boot from the disk does not mind", async () => {
    const sandbox = await create();
    await shell(sandbox, "echo kept > /root/kept; echo gone > /dev/shm/gone; sync");
    await host.manager.pause(sandbox.id, 1);
    const { directory, meta } = await lastLayer(sandbox.id);
    await chmod(join(directory, "meta.json"), 0o600);
    const other = { ...meta, compatibility: { ...meta.compatibility, cpu: "another" } };
    await writeFile(join(directory, "meta.json"), JSON.stringify(other));
    await expect(host.manager.resume(sandbox.id, 2, undefined)).rejects.toMatchObject({
      code: "incompatible_snapshot",
      message: expect.stringContaining("cpu was another"),
      hint: expect.stringContaining("--cold"),
    });
    expect(host.manager.get(sandbox.id)).toMatchObject({ state: "paused", incarnation: 1 });
    const cold = (await host.manager.resume(sandbox.id, 2, undefined, { memory: false })).sandbox;
    expect(await shell(cold, "cat /root/kept; ls /dev/shm")).toBe("kept");
    await host.manager.pause(sandbox.id, 2);
    expect((await lastLayer(sandbox.id)).meta.generation).toBe(1);
    await host.manager.destroy(sandbox.id, 0);
  });

  it("are of the disk alone when the memory is not wanted, in the order in which it was left", async () => {
    const sandbox = await create();
    await shell(sandbox, "echo kept > /root/kept; echo gone > /dev/shm/gone"); // not flushed by the guest
    const { stages } = await host.manager.pause(sandbox.id, 1, { memory: false });
    expect(stages.map(({ name }) => name)).toContain("freeze-files");
    const layer = await lastLayer(sandbox.id);
    expect(layer.meta.memory).toBeUndefined();
    expect((await readdir(layer.directory)).toSorted()).toEqual(["meta.json"]);
    await expectIntact(layer);
    const booted = (await host.manager.resume(sandbox.id, 2, undefined)).sandbox;
    expect(await shell(booted, "cat /root/kept; ls /dev/shm; dmesg | grep -c 'recovering journal' || true")).toBe(
      "kept\n0",
    );
    await host.manager.destroy(sandbox.id, 0);
  });

  it("are made by another pager when one is killed, whether it was at work or not", async () => {
    const sandbox = await create();
    await shell(sandbox, "head -c 30M /dev/urandom > /dev/shm/data; sha256sum /dev/shm/data > /root/sum");
    process.kill(host.pager.health.pid, "SIGKILL");
    await host.manager.pause(sandbox.id, 1);
    const resuming = host.manager.resume(sandbox.id, 2, undefined);
    process.kill(host.pager.health.pid, "SIGKILL");
    // At work it fails, and can be tried again; else nobody notices.
    const resumed = await resuming.catch(async () => await host.manager.resume(sandbox.id, 3, undefined));
    expect(await shell(resumed.sandbox, "sha256sum -c /root/sum")).toContain("OK");
    await host.manager.destroy(sandbox.id, 0);
  });
});

async function until(condition: () => Promise<boolean>): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const check = async (): Promise<void> => {
    if (await condition()) resolve();
  };
  const onChange = (): void => void check();
  host.manager.events.on("changed", onChange);
  try {
    await check();
    await promise;
  } finally {
    host.manager.events.off("changed", onChange);
  }
}
