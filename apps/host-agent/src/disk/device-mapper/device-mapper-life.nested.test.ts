/** What is device-mapper's own: full stores, stacked and shared devices. Runs in the testbed: `./wrenn test --only nested`. */
import { mkdir, mkdtemp, open, readdir, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { run } from "@wrenn/effects";
import { leakGate } from "../../../../../tests/leaks/gate.ts";
import type { DiskBase } from "../disk-store.ts";
import { DeviceMapperStore } from "./device-mapper-store.ts";
import { storeBytes } from "./exception-store.ts";

const MIB = 1024 * 1024;
const DISK_BYTES = 16 * MIB;

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
      await run([
        "qemu-io",
        "-f",
        "raw",
        "-c",
        `write -P ${pattern} 0 ${DISK_BYTES}`,
        "-c",
        "flush",
        disk.device ?? "",
      ]);
    }
    expect(await store.status(disk, signal())).toMatchObject({ state: "valid", totalBytes: storeBytes(DISK_BYTES) });
    await store.seal(disk, signal());
    await run(["qemu-io", "-r", "-f", "raw", "-c", `read -P 2 0 ${DISK_BYTES}`, disk.device ?? ""]);
    await store.remove(disk);
  });

  it("stacks disks where files cannot share blocks, and does not where they can", async () => {
    for (const [place, depth] of [
      [directory, 1],
      [await mkdtemp(join(ext4, "stack-")), 2],
    ] as const) {
      const options = { directory: place, sizeBytes: DISK_BYTES, uid: 65534 };
      const first = await store.create({ ...options, id: "first", base }, signal());
      await run(["qemu-io", "-f", "raw", "-c", "write -P 5 0 64k", "-c", "flush", first.device ?? ""]);
      const sealed = await store.seal(first, signal());
      await store.lock(sealed);
      const next = await store.create({ ...options, id: "next", base: sealed }, signal());
      expect(next.backingPaths).toHaveLength(depth);
      await run(["qemu-io", "-f", "raw", "-c", "read -P 5 0 64k", "-c", "read -P 17 64k 64k", next.device ?? ""]);
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
    await run(["qemu-io", "-r", "-f", "raw", "-c", "read -P 17 0 4096", other.device ?? ""]);
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
});
