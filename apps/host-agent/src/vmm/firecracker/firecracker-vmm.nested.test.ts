/**
 * One life of a real Firecracker VM on a device-mapper disk: booted, captured, cloned from its flat memory,
 * captured as a layer, restored from layers by the pager. Runs in the testbed, where a binary is given by
 * FIRECRACKER_BIN.
 */
import { createHash } from "node:crypto";
import { access, chmod, chown, mkdir, mkdtemp, open, readFile, rm, writeFile } from "node:fs/promises";
import { release, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { run } from "@wrenn/effects";
import { readGuestManifest, type GuestManifest } from "@wrenn/guest";
import { leakGate } from "../../../../../tests/leaks/gate.ts";
import { SHIM_PATH } from "../../binaries.ts";
import { DeviceMapperStore } from "../../disk/device-mapper/device-mapper-store.ts";
import type { DiskBase } from "../../disk/disk-store.ts";
import { openPager } from "../../pager/open-pager.ts";
import type { Pager } from "../../pager/pager.ts";
import { encodeHeader } from "../../snapshot/header.ts";
import { wholeMapping } from "../../snapshot/mapping.ts";
import { readCpuModel } from "../acceleration.ts";
import { consolePath } from "../shim.ts";
import type { GuestMemory, VirtualMachine, VmPlacement } from "../vmm.ts";
import { FirecrackerVmm } from "./firecracker-vmm.ts";

const BINARY = process.env["FIRECRACKER_BIN"];
const GUEST = process.env["WRENN_TEST_GUEST_DIR"] ?? "/var/lib/wrenn-test";
const SHAPE = { vcpus: 1, memoryMib: 160 };
const MEMORY_BYTES = SHAPE.memoryMib * 1024 * 1024;
/** As large as the template's file system at least, or the guest cannot mount it. */
const DISK_BYTES = 16 * 1024 ** 3;
const UID = 1_999_998;
const DEADLINE_MS = 280_000;
const RUN_MS = 2_000;

const signal = (): AbortSignal => AbortSignal.timeout(DEADLINE_MS);

if (BINARY === undefined) console.log("SKIPPED Firecracker: set FIRECRACKER_BIN to its binary");

describe.skipIf(BINARY === undefined)("Firecracker", () => {
  const disks = new DeviceMapperStore();
  let root: string;
  let pager: Pager;
  let vmm: FirecrackerVmm;
  let manifest: GuestManifest;
  let sequence = 0;

  beforeAll(async () => {
    root = await mkdtemp(join(tmpdir(), "wrenn-fc-"));
    await chmod(root, 0o711);
    pager = await openPager({ stateDirectory: root, log: pino({ level: "silent" }) }, signal());
    manifest = await readGuestManifest(GUEST);
    const program = BINARY as string;
    await access(program);
    const { stdout } = await run([program, "--version"]);
    vmm = new FirecrackerVmm({
      program,
      version: /v(\d+\.\d+\.\d+)/.exec(stdout)?.[1] ?? "unknown",
      programHash: createHash("sha256")
        .update(await readFile(program))
        .digest("hex"),
      cpuModel: await readCpuModel(),
      hostKernel: release(),
      shimPath: SHIM_PATH,
      pager,
      diskBytesPerSecond: 256 * 1024 * 1024,
      stateDirectory: root,
    });
  }, DEADLINE_MS);
  leakGate();
  afterAll(async () => {
    await pager.close();
    await rm(root, { recursive: true, force: true });
  });

  async function place(base: DiskBase): Promise<VmPlacement & { cowPath: string }> {
    const number = sequence++;
    const supervisionDirectory = join(root, `vm${number}`);
    const directory = join(supervisionDirectory, "own");
    await mkdir(directory, { recursive: true });
    await chown(directory, UID, UID);
    const options = { id: `disk${number}`, directory: root, base, sizeBytes: DISK_BYTES, uid: UID };
    const disk = await disks.create(options, signal());
    return {
      name: `fc-${process.pid}-${number}`,
      directory,
      supervisionDirectory,
      networkNamespace: undefined,
      tapName: undefined,
      macAddress: "02:fc:00:00:00:05",
      uid: UID,
      diskPath: disk.device ?? disk.path,
      cowPath: disk.path,
      diskBackingPaths: [],
    };
  }

  it(
    "boots, is captured, cloned from a flat memory, and restored from layers by page faults",
    { timeout: 3 * DEADLINE_MS },
    async () => {
      const path = manifest.templates.find(({ name }) => name === "minimal")?.rootfsPath ?? "";
      const rootfs = { path, format: "raw", backingPaths: [] } as const;
      const image = join(root, "image");
      const memory = await open(image, "wx", 0o600);
      await memory.truncate(MEMORY_BYTES);
      await memory.chown(UID, UID);
      await memory.close();

      const first = await place(rootfs);
      const { kernelPath, initramfsPath } = manifest;
      // It tells on its console that its root disk is mounted.
      const kernelArguments = manifest.kernelArguments.filter((argument) => argument !== "quiet");
      const boot = { ...first, shape: SHAPE, kernelPath, initramfsPath, kernelArguments, memoryPath: image };
      const booted = await vmm.boot(boot, signal());
      try {
        await consoleSays(first, /EXT4-fs \(vda\): mounted/);
        await expectConfined(booted.pid);
        await booted.pause(signal());
        await booted.pause(signal());
        const target = { buildId: "base", statePath: join(root, "state"), memoryPath: image, headerPath: "" };
        const capture = await booted.capture({ ...target, parent: undefined }, signal());
        expect(capture).toMatchObject({ layer: undefined });
        await booted.flushDisk(signal());
      } finally {
        await booted.stop();
      }
      await disks.lock({ path: first.cowPath, format: "dm-snapshot", backingPaths: [path] });
      await chown(image, 0, 0);
      await chmod(image, 0o444);
      const mapping = wholeMapping("base", MEMORY_BYTES);
      const headerPath = join(root, "image.header");
      const header = { size: MEMORY_BYTES, generation: 0, buildId: "base", baseBuildId: "base", mapping };
      await writeFile(headerPath, encodeHeader(header));
      const base: GuestMemory = { image, layers: { header: headerPath, builds: { base: image } } };
      const before = await hashOf(image);

      // From the flat memory, which it must not write.
      const disk = { path: first.cowPath, format: "dm-snapshot", backingPaths: [path] } as const;
      const cloned = await runCapture(disk, { memory: base, statePath: join(root, "state") }, "one");
      expect(await hashOf(image)).toBe(before);

      // From layers, by the pager.
      const second = await runCapture(cloned.disk, cloned, "two");
      expect(second.dataBytes).toBeLessThan(MEMORY_BYTES / 2);
      for (const { disk: left } of [second, cloned]) await disks.remove(left);
      await disks.remove({ path: first.cowPath });
    },
  );

  /** Restores, lets the guest run, captures it as a layer, and ends it. */
  async function runCapture(
    on: DiskBase,
    from: { memory: GuestMemory; statePath: string },
    buildId: string,
  ): Promise<{ disk: DiskBase; memory: GuestMemory; statePath: string; dataBytes: number }> {
    const placement = await place(on);
    const { memory, statePath } = from;
    let vm: VirtualMachine | undefined;
    try {
      vm = await vmm.restore({ ...placement, shape: SHAPE, memory, statePath }, signal());
      await vm.resume(signal());
      await setTimeout(RUN_MS);
      await vm.pause(signal());
      const paths = { statePath: join(root, `${buildId}.state`), memoryPath: join(root, `${buildId}.memory`) };
      const headerPath = join(root, `${buildId}.header`);
      const { layer } = await vm.capture({ buildId, ...paths, headerPath, parent: memory }, signal());
      expect(layer).toMatchObject({ buildId, size: MEMORY_BYTES });
      expect(layer?.dataBytes).toBeGreaterThan(0);
      await vm.flushDisk(signal());
      await vm.stop();
      const builds = { ...memory.layers.builds, [buildId]: paths.memoryPath };
      const sealed = { path: placement.cowPath, format: "dm-snapshot", backingPaths: [on.backingPaths.at(-1) ?? ""] };
      await disks.lock(sealed as DiskBase);
      return {
        disk: sealed as DiskBase,
        memory: { image: memory.image, layers: { header: headerPath, builds } },
        statePath: paths.statePath,
        dataBytes: layer?.dataBytes ?? 0,
      };
    } catch (error) {
      const words = await readFile(consolePath(placement.supervisionDirectory), "latin1").catch(() => "");
      await vm?.stop();
      throw new Error(`${String(error)}; console: ${words.slice(-1_000)}`, { cause: error });
    }
  }
});

async function consoleSays({ supervisionDirectory }: VmPlacement, words: RegExp): Promise<void> {
  const until = performance.now() + DEADLINE_MS;
  let console = "";
  while (performance.now() < until) {
    console = await readFile(consolePath(supervisionDirectory), "latin1").catch(() => "");
    if (words.test(console)) return;
    await setTimeout(500);
  }
  throw new Error(`the guest never said ${words}: ${console.slice(-1_000)}`);
}

async function expectConfined(pid: number): Promise<void> {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  const field = (key: string): string | undefined => new RegExp(`^${key}:\\s+(.*)$`, "m").exec(status)?.[1];
  expect(field("Uid")).toBe([UID, UID, UID, UID].join("\t"));
  expect([field("CapEff"), field("CapBnd")]).toEqual(["0000000000000000", "0000000000000000"]);
  expect([field("NoNewPrivs"), field("Seccomp")]).toEqual(["1", "2"]);
}

async function hashOf(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}
