import { mkdtemp, open, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "@wrenn/effects";
import type { DiskBase } from "../disk-store.ts";
import { describeDiskStoreContract } from "../disk-store-contract.ts";
import { emptyOverlay, MAX_DISK_BYTES } from "./overlay.ts";
import { Qcow2Store } from "./qcow2-store.ts";

const MIB = 1024 * 1024;
const signal = AbortSignal.timeout(60_000);
let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-qcow2-"));
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

async function rawBase(bytes: number, content: string) {
  const path = join(directory, "base.raw");
  const file = await open(path, "wx");
  await file.write(content, 0);
  await file.truncate(bytes);
  await file.close();
  return { path, format: "raw", backingPaths: [] } as const;
}

describe("emptyOverlay", () => {
  it.each([64 * MIB, 8 * 1024 * MIB, 8 * 1024 * MIB + 512, MAX_DISK_BYTES])(
    "is a sound image of %d bytes to qemu-img",
    async (bytes) => {
      const base = await rawBase(64 * MIB, "hello");
      const path = join(directory, "disk.qcow2");
      const file = await open(path, "wx");
      await file.writeFile(emptyOverlay(base, bytes));
      await file.close();
      const { stdout: check } = await run(["qemu-img", "check", "--output=json", path]);
      expect(JSON.parse(check)).toMatchObject({ "check-errors": 0 });
      expect(JSON.parse(check)).not.toHaveProperty("leaks");
      const { stdout: info } = await run(["qemu-img", "info", "--output=json", path]);
      expect(JSON.parse(info)).toMatchObject({
        "virtual-size": bytes,
        "backing-filename": base.path,
        "backing-filename-format": "raw",
        "dirty-flag": false,
      });
    },
  );
});

describe("Qcow2Store", () => {
  const store = new Qcow2Store();

  it("keeps a sealed disk as it was while a new overlay on it is written", async () => {
    const base = await rawBase(64 * MIB, "from the base");
    const disk = await store.create({ id: "first", directory, base, sizeBytes: 64 * MIB, uid: 65534 }, signal);
    expect((await stat(disk.path)).uid).toBe(65534);
    await run(["qemu-io", "-c", "write -P 0xab 1M 64k", disk.path]);
    const sealed = await store.seal(disk, signal);
    await store.lock(sealed);
    const { mtimeMs, mode } = await stat(sealed.path);
    expect(mode & 0o777).toBe(0o444);

    const next = await store.create({ id: "next", directory, base: sealed, sizeBytes: 64 * MIB, uid: 65534 }, signal);
    expect(next.backingPaths).toEqual([sealed.path, base.path]);
    await run(["qemu-io", "-c", "read -P 0xab 1M 64k", "-c", "write -P 0xcd 1M 64k", next.path]);
    await run(["qemu-io", "-r", "-c", "read -P 0xab 1M 64k", sealed.path]);
    expect((await stat(sealed.path)).mtimeMs).toBe(mtimeMs);
    expect(await store.usage(next)).toBeGreaterThan(0);
  });

  it("joins a chain down to any of its bases, zeros over data included, and checks what it made", async () => {
    const base = await rawBase(64 * MIB, "from the base");
    let below: DiskBase = base;
    const chain: DiskBase[] = [base];
    for (let generation = 0; generation < 6; generation++) {
      const options = { id: `g${generation}`, directory, base: below, sizeBytes: 64 * MIB, uid: 0 };
      const disk = await store.create(options, signal);
      const write = `write -P ${generation + 1} ${generation}M 2M`;
      const zero = `write -z ${generation * 2}M 192k`;
      await run(["qemu-io", "-c", write, "-c", zero, "-c", "discard 40M 1M", disk.path]);
      below = await store.seal(disk, signal);
      chain.push(below);
    }
    for (const onto of [base, chain[2], undefined]) {
      const id = `joined-${chain.indexOf(onto as DiskBase)}`;
      const joined = await store.collapse(below, { id, directory, onto }, signal);
      expect(joined.backingPaths).toEqual(onto === undefined ? [] : [onto.path, ...onto.backingPaths]);
      await run(["qemu-img", "compare", below.path, joined.path]);
      await store.check(joined, signal);
      expect((await stat(joined.path)).mode & 0o777).toBe(0o444);
    }
    expect((await readdir(directory)).filter((name) => name.startsWith("."))).toEqual([]);
  });

  it("finds a damaged disk", async () => {
    const base = await rawBase(64 * MIB, "");
    const disk = await store.create({ id: "d", directory, base, sizeBytes: 64 * MIB, uid: 0 }, signal);
    await run(["qemu-io", "-c", "write 0 1M", disk.path]);
    const file = await open(disk.path, "r+");
    await file.write(Buffer.alloc(8, 0xff), 0, 8, 3 * 65536);
    await file.close();
    await expect(store.check({ ...disk }, signal)).rejects.toMatchObject({ code: "incompatible_snapshot" });
  });

  it("refuses a second disk in one place and leaves the first", async () => {
    const base = await rawBase(MIB, "");
    const options = { id: "d", directory, base, sizeBytes: MIB, uid: 0 };
    const disk = await store.create(options, signal);
    await expect(store.create(options, signal)).rejects.toMatchObject({ code: "already_exists" });
    await stat(disk.path);
    await store.remove(disk);
    await store.remove(disk);
  });

  it("refuses a disk that its table cannot describe", async () => {
    const base = await rawBase(MIB, "");
    await expect(
      store.create({ id: "d", directory, base, sizeBytes: MAX_DISK_BYTES + 1, uid: 0 }, signal),
    ).rejects.toMatchObject({ code: "invalid_request" });
  });
});

describeDiskStoreContract(
  "qcow2",
  () => new Qcow2Store(),
  () => directory,
);
