/**
 * What every disk store must do, as tests: the same for qcow2 and device-mapper. `qemu-io` writes and reads
 * the disks as a VMM would.
 */
import { mkdir, mkdtemp, open, readFile, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "@wrenn/effects";
import type { Disk, DiskBase, DiskStore } from "./disk-store.ts";

const MIB = 1024 * 1024;
const BASE_BYTES = 8 * MIB;
const DISK_BYTES = 16 * MIB;
const CHUNK_BYTES = 64 * 1024;

/** Byte values by chunk of 64 KiB. */
type Content = ReadonlyMap<number, number>;

const signal = (): AbortSignal => AbortSignal.timeout(60_000);

/** @param place an existing directory of the file system that the disks are to be on */
export function describeDiskStoreContract(name: string, make: () => DiskStore, place: () => string): void {
  describe(`${name} keeps the contract of a disk store`, () => {
    let directory: string;
    let store: DiskStore;
    let base: DiskBase;
    let live: Pick<Disk, "path">[];
    let sequence: number;

    beforeEach(async () => {
      store = make();
      live = [];
      sequence = 0;
      directory = await mkdtemp(join(place(), "contract-"));
      const path = join(directory, "base.raw");
      const file = await open(path, "wx", 0o444);
      await file.write(Buffer.alloc(CHUNK_BYTES, 0x11), 0, CHUNK_BYTES, 0);
      await file.write(Buffer.alloc(CHUNK_BYTES, 0x22), 0, CHUNK_BYTES, BASE_BYTES - CHUNK_BYTES);
      await file.truncate(BASE_BYTES);
      await file.close();
      base = { path, format: "raw", backingPaths: [] };
    });
    afterEach(async () => {
      for (const disk of live.toReversed()) await store.remove(disk);
      await rm(directory, { recursive: true, force: true });
    });

    async function create(on: DiskBase = base): Promise<Disk> {
      const options = { id: `disk${sequence++}`, directory, base: on, sizeBytes: DISK_BYTES, uid: 65534 };
      const disk = await store.create(options, signal());
      live.push(disk);
      return disk;
    }

    async function io(disk: Disk, commands: readonly string[]): Promise<void> {
      const target = disk.device === undefined ? ["-f", disk.format, disk.path] : ["-f", "raw", disk.device];
      const { stdout } = await run(["qemu-io", ...commands.flatMap((command) => ["-c", command]), ...target]);
      if (/verification failed/.test(stdout)) throw new Error(`the disk holds something else: ${stdout}`);
    }

    const write = async (disk: Disk, content: Content): Promise<void> =>
      await io(disk, [
        ...[...content].map(([chunk, byte]) => `write -P ${byte} ${chunk * CHUNK_BYTES} ${CHUNK_BYTES}`),
        "flush",
      ]);

    const expectContent = async (disk: Disk, content: Content): Promise<void> =>
      await io(
        disk,
        [...content].map(([chunk, byte]) => `read -P ${byte} ${chunk * CHUNK_BYTES} ${CHUNK_BYTES}`),
      );

    const OF_THE_BASE: Content = new Map([
      [0, 0x11],
      [1, 0],
      [BASE_BYTES / CHUNK_BYTES - 1, 0x22],
      [BASE_BYTES / CHUNK_BYTES, 0], // beyond the base
      [DISK_BYTES / CHUNK_BYTES - 1, 0],
    ]);

    it("reads through to the base, has zeros behind it, and leaves it as it is", async () => {
      const before = await readFile(base.path);
      const [one, other] = [await create(), await create()];
      await expectContent(one, OF_THE_BASE);
      await write(one, new Map([[0, 0xaa]]));
      await expectContent(one, new Map([...OF_THE_BASE, [0, 0xaa]]));
      await expectContent(other, OF_THE_BASE);
      expect((await readFile(base.path)).equals(before)).toBe(true);
    });

    it("holds, over generations, exactly what was written, zeros too", async () => {
      const expected = new Map(OF_THE_BASE);
      let on = base;
      const sealed: { base: DiskBase; content: Content }[] = [];
      for (let generation = 0; generation < 3; generation++) {
        const disk = await create(on);
        const writes = new Map([
          [0, generation === 1 ? 0 : 0x40 + generation],
          [10 + generation, 0x50 + generation],
          [DISK_BYTES / CHUNK_BYTES - 1 - generation, 0x60 + generation],
        ]);
        await write(disk, writes);
        for (const [chunk, byte] of writes) expected.set(chunk, byte);
        on = await store.seal(disk, signal());
        await store.lock(on);
        await store.lock(on);
        expect((await stat(on.path)).mode & 0o777).toBe(0o444);
        sealed.push({ base: on, content: new Map(expected) });
      }
      for (const one of sealed) {
        const again = await create(one.base);
        await expectContent(again, one.content);
        await store.remove(again);
      }
    });

    it("goes on after it was sealed, when its layer was given up", async () => {
      const disk = await create();
      await write(disk, new Map([[3, 0x33]]));
      expect(await store.seal(disk, signal())).toMatchObject({ path: disk.path });
      await write(disk, new Map([[4, 0x44]]));
      await expectContent(disk, new Map([...OF_THE_BASE, [3, 0x33], [4, 0x44]]));
    });

    it("joins sealed disks onto an older one, and into a whole one", async () => {
      const content = new Map(OF_THE_BASE);
      let on = base;
      for (let generation = 0; generation < 3; generation++) {
        const disk = await create(on);
        const writes = new Map([
          [1, 0x70 + generation],
          [20 + generation, 0x80 + generation],
        ]);
        await write(disk, writes);
        for (const [chunk, byte] of writes) content.set(chunk, byte);
        on = await store.seal(disk, signal());
        await store.lock(on);
      }
      for (const onto of [base, undefined]) {
        const joined = await store.collapse(on, { id: `joined${sequence++}`, directory, onto }, signal());
        live.push(joined);
        expect(joined.backingPaths).toEqual(onto === undefined ? [] : [base.path]);
        await store.check(joined, signal());
        const disk = await create(joined);
        await expectContent(disk, content);
        await store.remove(disk);
      }
    });

    it("counts what is allocated, not what could be", async () => {
      const disk = await create();
      const empty = await store.usage(disk);
      expect(empty).toBeLessThan(MIB);
      await io(disk, [`write -P 1 0 ${4 * MIB}`, "flush"]);
      await store.seal(disk, signal());
      const used = await store.usage(disk);
      expect(used - empty).toBeGreaterThanOrEqual(4 * MIB);
      expect(used - empty).toBeLessThan(6 * MIB);
    });

    it("refuses a second disk of one name and leaves the first; removes twice", async () => {
      const options = { id: "same", directory, base, sizeBytes: DISK_BYTES, uid: 65534 };
      const disk = await store.create(options, signal());
      live.push(disk);
      await write(disk, new Map([[5, 0x55]]));
      await expect(store.create(options, signal())).rejects.toMatchObject({ code: "already_exists" });
      await expectContent(disk, new Map([[5, 0x55]]));
      await store.remove(disk);
      await store.remove(disk);
      await expect(stat(disk.path)).rejects.toThrow("ENOENT");
    });

    it("makes nothing for a caller who has gone", async () => {
      const options = { id: "gone", directory, base, sizeBytes: DISK_BYTES, uid: 65534 };
      await expect(store.create(options, AbortSignal.abort(new Error("gone")))).rejects.toThrow("gone");
      await expect(stat(join(directory, "gone.qcow2"))).rejects.toThrow("ENOENT");
      await expect(stat(join(directory, "gone.cow"))).rejects.toThrow("ENOENT");
    });

    it("refuses a sealed disk whose own structures are damaged", async () => {
      const disk = await create();
      await write(disk, new Map([[6, 0x66]]));
      const sealed = await store.seal(disk, signal());
      await store.lock(sealed);
      await store.check(sealed, signal());
      await mkdir(join(directory, "damaged"));
      const damaged = { ...sealed, path: join(directory, "damaged", "disk") };
      const bytes = await readFile(sealed.path);
      bytes.fill(0xff, 0, 32);
      const file = await open(damaged.path, "wx");
      await file.write(bytes);
      await file.close();
      await expect(store.check(damaged, signal())).rejects.toMatchObject({ code: "incompatible_snapshot" });
    });
  });
}
