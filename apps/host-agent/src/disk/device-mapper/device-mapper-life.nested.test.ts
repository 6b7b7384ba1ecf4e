/** What is device-mapper's own: kills, full stores, stacked, shared and stale devices. Runs in the testbed: `./wrenn test --only nested`. */
import { readFileSync } from "node:fs";
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from "vitest";
import { findProgram, run } from "@wrenn/effects";
import { leakGate } from "../../../../../tests/leaks/gate.ts";
import { checksumOfDisk } from "../../snapshot/checksum.ts";
import type { Disk, DiskBase } from "../disk-store.ts";
import { loopDevices, mappedDevices, type LoopDevice } from "./block-devices.ts";
import { DeviceMapperStore } from "./device-mapper-store.ts";
import { removeMapped } from "./dmsetup.ts";
import { storeBytes } from "./exception-store.ts";

const MIB = 1024 * 1024;
const DISK_BYTES = 16 * MIB;
const BLOCK_BYTES = 4096;

const FULL = process.env["WRENN_TEST_FULL"] === "1";
/** Without KVM a life of a disk takes seconds here. */
const EMULATED = /QEMU TCG CPU/.test(readFileSync("/proc/cpuinfo", "utf8"));
const CYCLES = FULL ? 1_000 : EMULATED ? 4 : 100;
const CYCLE_MS = 10_000;
const STEPS = ["seal.disk", "disk.device", "disk.device.remove"];
const MORE_STEPS = ["disk.loop", "seal.device", "disk.loop.detach", "disk.remove", "seal.copy"];

const signal = (): AbortSignal => AbortSignal.timeout(120_000);

let root: string;
/** A file system that shares no blocks: there, disks on sealed ones are stacked. */
let ext4: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "wrenn-dm-"));
  ext4 = join(root, "ext4");
  await mkdir(ext4);
  const image = join(root, "ext4.img");
  const file = await open(image, "wx");
  await file.truncate(512 * MIB);
  await file.close();
  await run(["mkfs.ext4", "-q", image]);
  await run(["mount", "-o", "loop", image, ext4]);
});
afterAll(async () => {
  await run(["umount", ext4]);
  await rm(root, { recursive: true, force: true });
});

leakGate();

describe("DeviceMapperStore", () => {
  const store = new DeviceMapperStore();
  let directory: string;
  let base: DiskBase;
  beforeEach(async () => {
    directory = await mkdtemp(join(root, "own-"));
    const path = join(directory, "base.raw");
    await writeFile(path, Buffer.alloc(DISK_BYTES, 0x11), { mode: 0o444 });
    base = { path, format: "raw", backingPaths: [] };
  });
  afterEach(async () => {
    await rm(directory, { recursive: true, force: true });
  });

  const create = (id: string, on = base) =>
    store.create({ id, directory, base: on, sizeBytes: DISK_BYTES, uid: 65534 }, signal());

  it("has room for a guest that writes its whole disk, again and again", async () => {
    const disk = await create("d");
    for (const pattern of [1, 2]) {
      await expectIo(disk, `write -P ${pattern} 0 ${DISK_BYTES}`, "flush");
    }
    expect(await store.status(disk, signal())).toMatchObject({ state: "valid", totalBytes: storeBytes(DISK_BYTES) });
    await store.seal(disk, signal());
    await expectIo(disk, `read -P 2 0 ${DISK_BYTES}`);
    await store.remove(disk);
  });

  it("stacks disks where files cannot share blocks, and does not where they can", async () => {
    for (const [place, depth] of [
      [directory, 1],
      [await mkdtemp(join(ext4, "stack-")), 2],
    ] as const) {
      const options = { directory: place, sizeBytes: DISK_BYTES, uid: 65534 };
      const first = await store.create({ ...options, id: "first", base }, signal());
      await expectIo(first, "write -P 5 0 64k", "flush");
      const sealed = await store.seal(first, signal());
      await store.lock(sealed);
      const next = await store.create({ ...options, id: "next", base: sealed }, signal());
      expect(next.backingPaths).toHaveLength(depth);
      await expectIo(next, "read -P 5 0 64k", "read -P 17 64k 64k");
      await store.remove(next);
      await store.remove(sealed);
    }
  });

  it("shares one device of the base, and lets it go with the last disk", async () => {
    const [one, other] = [await create("one"), await create("other")];
    expect(
      (await run(["losetup", "--noheadings", "--output", "NAME", "--associated", base.path])).stdout.split("\n"),
    ).toHaveLength(1);
    await store.remove(one);
    await expectIo(other, "read -P 17 0 4096");
    await store.remove(other);
    expect((await run(["losetup", "--noheadings", "--output", "NAME", "--associated", base.path])).stdout).toBe("");
  });

  it("waits for who still has the device open, and for nobody else", async () => {
    const disk = await create("d");
    const holder = await open(disk.device ?? "", "r");
    let removed = false;
    const removing = store.remove(disk).then(() => (removed = true));
    await setTimeout(500);
    expect(removed).toBe(false);
    await holder.close();
    await removing;
    expect(await readdir(directory)).toEqual(["base.raw"]);
  });

  it("is told, and not sealed, when the kernel gave its snapshot up", async () => {
    const disk = await create("d");
    // Less room than the disk has: what no store of ours has.
    const file = await open(disk.path, "r+");
    await file.truncate(MIB);
    await file.close();
    await run(["losetup", "--set-capacity", await loopOf(disk.path)]);
    const write = ["qemu-io", "-f", "raw", "-c", `write 0 ${4 * MIB}`, "-c", "flush", disk.device ?? ""] as const;
    await run(write).catch(() => undefined);
    await expect(store.seal(disk, signal())).rejects.toThrow(/EIO|writes were lost/);
    expect((await store.status(disk, signal())).state).not.toBe("valid");
    await store.remove(disk);
  });

  it("makes a new device where a stale one has its name", async () => {
    const first = await create("d");
    await expectIo(first, "write -P 9 0 64k", "flush");
    await rm(first.path); // as if a crash had lost the record and the file, but not the device
    const second = await create("d");
    expect((await mappedDevices()).length).toBe(2);
    await expectIo(second, "read -P 17 0 64k");
    await store.remove(second);
  });

  it("says so when a device cannot be removed, and keeps its loop device and its file", async () => {
    const disk = await create("d");
    await run(["dmsetup", "create", "wrenn-test-holder", "--table", `0 8 linear ${disk.device} 0`]);
    try {
      const name = await nameOf(disk.device ?? "");
      await expect(removeMapped(name, AbortSignal.timeout(1_000))).rejects.toMatchObject({ code: "timeout" });
      expect(await loopOf(disk.path)).toMatch(/loop/);
    } finally {
      await run(["dmsetup", "remove", "wrenn-test-holder"]);
    }
    await store.remove(disk);
  });

  it("seals a copy of what a disk holds, and the disk goes on", async () => {
    const disk = await create("d");
    await expectIo(disk, "write -P 5 0 64k", "flush");
    const copy = await store.sealCopy(disk, { id: "copy", directory }, signal());
    await expectIo(disk, "write -P 6 0 64k", "flush");
    expect(copy).toMatchObject({ format: "dm-snapshot", backingPaths: disk.backingPaths });
    await store.lock(copy);
    const next = await create("next", copy);
    await expectIo(next, "read -P 5 0 64k");
    await expectIo(disk, "read -P 6 0 64k");
    for (const one of [next, copy, disk]) await store.remove(one);
  });

  it("makes a whole disk whose holes are where nothing is, also beside blocks that were written over", async () => {
    const path = join(directory, "sparse.raw");
    const image = await open(path, "wx", 0o644);
    await image.truncate(DISK_BYTES);
    for (const block of [0, 1, 2, 3, 10, 11, 20])
      await image.write(Buffer.alloc(BLOCK_BYTES, 0x22), { position: block * BLOCK_BYTES });
    await image.close();
    const disk = await create("d", { path, format: "raw", backingPaths: [] });
    await expectIo(disk, `write -P 7 ${2 * BLOCK_BYTES} ${BLOCK_BYTES}`, "flush");
    const sealed = await store.seal(disk, signal());
    await store.lock(sealed);
    const whole = await store.collapse(sealed, { id: "whole", directory, onto: undefined }, signal());
    const told = await checksumOfDisk("raw", whole.path);
    const content = await readFile(whole.path);
    expect(content.readUInt8(2 * BLOCK_BYTES)).toBe(7);
    const withoutHoles = join(directory, "content.raw");
    await writeFile(withoutHoles, content);
    expect(told).toBe(await checksumOfDisk("raw", withoutHoles));
    for (const one of [whole, sealed]) await store.remove(one);
  });

  it(`leaves nothing over ${CYCLES} lives of a disk`, { timeout: CYCLES * CYCLE_MS }, async () => {
    const kept = await create("kept"); // the base stays open, as it does on a host in use
    for (let cycle = 0; cycle < CYCLES; cycle++) await store.remove(await create(`d${cycle}`));
    expect((await mappedDevices()).length).toBe(2);
    expect(await readdir(directory)).toEqual(["base.raw", "kept.cow"]);
    await store.remove(kept);
  });

  it("finds what a killed agent left, wherever it was killed", { timeout: 600_000 }, async () => {
    const program = join(import.meta.dirname, "testing/life-of-a-disk.ts");
    for (const step of FULL ? [...STEPS, ...MORE_STEPS] : EMULATED ? STEPS.slice(0, 1) : STEPS) {
      const env = { PATH: process.env["PATH"] ?? "", WRENN_FAILPOINTS: `${step}=kill` };
      const life = [process.execPath, program, directory, base.path, String(DISK_BYTES)] as const;
      await expect(run(life, { env })).rejects.toThrow("SIGKILL");
      await store.sweep(directory, []);
      for (const id of ["d", "copy"]) await store.remove({ path: join(directory, `${id}.cow`) });
      expect({ step, devices: await mappedDevices() }).toEqual({ step, devices: [] });
      expect(await readdir(directory)).toEqual(["base.raw"]);
    }
  });

  it.each([
    ["losetup", "--find"],
    ["dmsetup", "create"],
  ])("gives everything back when %s has made a device and is stopped before it ends", async (tool, what) => {
    const { PATH = "" } = process.env;
    const slow = join(directory, "slow");
    await mkdir(slow);
    const real = await findProgram(tool, PATH);
    const script = `#!/bin/sh\n${real} "$@" || exit\n[ "$1" != ${what} ] || exec sleep 60 >/dev/null 2>&1\n`;
    await writeFile(join(slow, tool), script, { mode: 0o755 });
    const mine = async (): Promise<string[]> => [
      ...(await loopDevices()).flatMap(({ file }) => (file.startsWith(`${directory}/`) ? file : [])),
      ...(await mappedDevices()).map(({ name }) => name),
    ];
    const controller = new AbortController();
    const options = { id: "d", directory, base, sizeBytes: DISK_BYTES, uid: 65534 };
    process.env["PATH"] = `${slow}:${PATH}`;
    try {
      const making = store.create(options, controller.signal);
      making.catch(() => undefined);
      await vi.waitUntil(async () => (await mine()).length === (tool === "losetup" ? 1 : 2), 60_000);
      controller.abort();
      await expect(making).rejects.toMatchObject({ code: "canceled" });
    } finally {
      process.env["PATH"] = PATH;
    }
    expect(await mine()).toEqual([]);
    expect(await readdir(directory)).toEqual(["base.raw", "slow"]);
  });

  it(
    "gives back what a killed agent attached and made no device of, its file gone or not",
    { timeout: 120_000 },
    async () => {
      const program = join(import.meta.dirname, "testing/life-of-a-disk.ts");
      for (const [pass, isGone] of [
        [1, false], // the base
        [2, true],
      ] as const) {
        const env = { PATH: process.env["PATH"] ?? "", WRENN_FAILPOINTS: `disk.device=kill@${pass}` };
        const life = [process.execPath, program, directory, base.path, String(DISK_BYTES)] as const;
        await expect(run(life, { env })).rejects.toThrow("SIGKILL");
        const mine = async (): Promise<LoopDevice[]> =>
          (await loopDevices()).filter(({ file }) => file.startsWith(`${directory}/`));
        expect((await mine()).length).toBe(pass);
        const disk = join(directory, "d.cow");
        if (isGone) await rm(disk);
        await store.sweep(directory, []);
        expect(await mine()).toEqual([]);
        await rm(disk, { force: true });
      }
    },
  );
});

/** Writes and reads a disk as a VMM does; what is read must be what the commands say. */
async function expectIo(disk: Pick<Disk, "device">, ...commands: string[]): Promise<void> {
  const argv = ["-f", "raw", ...commands.flatMap((command) => ["-c", command]), disk.device ?? ""];
  expect((await run(["qemu-io", ...argv])).stdout).not.toContain("verification failed");
}

async function loopOf(path: string): Promise<string> {
  const { stdout } = await run(["losetup", "--noheadings", "--output", "NAME", "--associated", path]);
  return stdout.split("\n")[0] ?? "";
}

async function nameOf(device: string): Promise<string> {
  const kernelName = device.slice("/dev/".length);
  return (await mappedDevices()).find((mapped) => mapped.kernelName === kernelName)?.name ?? "";
}
