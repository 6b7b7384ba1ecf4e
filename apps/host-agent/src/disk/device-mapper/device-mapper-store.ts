/**
 * Disks as device-mapper snapshots: a sparse CoW file per run of a sandbox, on a shared read-only device of
 * what it builds on. The VMM opens the block device; the CoW file is what is kept.
 */
import { createHash } from "node:crypto";
import { chmod, chown, open, realpath, stat } from "node:fs/promises";
import { join } from "node:path";
import { cloneFile, failpoint, flush, remove, rename, statIfExists } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { requireFormat, type Disk, type DiskBase, type DiskStore } from "../disk-store.ts";
import {
  fileOfLoop,
  findMapped,
  holdersOf,
  loopDevices,
  loopsOf,
  mappedDevices,
  nodeOf,
  slavesOf,
} from "./block-devices.ts";
import { attachLoop, createMapped, detachLoop, removeMapped, statusOf } from "./dmsetup.ts";
import { readExceptions, SECTOR_BYTES, storeBytes } from "./exception-store.ts";
import { copyStore, writeFlat, writeJoined } from "./flatten.ts";
import { baseBelow, closeAllUnused, closeUnused, openOrigin, snapshotTable } from "./origins.ts";
import { parseStatus, type SnapshotStatus } from "./status.ts";

const DISK_PREFIX = "wrenn-disk-";
/** What the kernel calls the files of this store, removed ones too. */
const DISK_FILE = /\.(cow|raw)( \(deleted\))?$/;
/** A VM's memory is given back before its descriptors are closed: that may take a while. */
const CLEANUP_DEADLINE_MS = 60_000;

export class DeviceMapperStore implements DiskStore {
  readonly kind = "device-mapper";
  /** Loop devices and origins are shared: they are opened and closed one at a time. */
  #turn: Promise<unknown> = Promise.resolve();

  async create(
    options: { id: string; directory: string; base: DiskBase; sizeBytes: number; uid: number },
    signal: AbortSignal,
  ): Promise<Disk> {
    const { id, directory, base, sizeBytes } = options;
    signal.throwIfAborted();
    requireFormat(base, ["raw", "dm-snapshot"], this.kind);
    if (sizeBytes % SECTOR_BYTES !== 0 || sizeBytes <= 0) {
      throw new WrennError("invalid_request", `Cannot make a disk of ${sizeBytes} bytes: it is no number of sectors`);
    }
    const path = join(directory, `${id}.cow`);
    if ((await statIfExists(path)) !== undefined)
      throw new WrennError("already_exists", `Cannot make disk ${id}: ${path} exists`);
    try {
      const backingPaths = await makeCowFile(path, base, sizeBytes);
      const disk = { id, path, format: "dm-snapshot", backingPaths } as const;
      return { ...disk, device: await this.#inTurn(() => attach(disk, sizeBytes, signal)) };
    } catch (error) {
      await this.remove({ path });
      throw error;
    }
  }

  /**
   * What the VMM has completed is in the page cache of its block device at most: that is flushed, then the
   * CoW file behind it.
   */
  async seal(disk: Disk, signal: AbortSignal): Promise<DiskBase> {
    const device = await findMapped(deviceName(disk.path));
    if (device === undefined) throw new WrennError("internal", `Cannot seal disk ${disk.id}: it has no device`);
    await flush(nodeOf(device), "seal.device");
    const { state } = await this.status(disk, signal);
    if (state !== "valid") {
      throw new WrennError("storage_full", `Cannot seal disk ${disk.id}: its snapshot is ${state}, writes were lost`);
    }
    await flush(disk.path, "seal.disk");
    return { path: disk.path, format: disk.format, backingPaths: disk.backingPaths };
  }

  /** A snapshot tells the guest of a write when its exception is in the CoW file, so that the file's copy is whole. */
  async sealCopy(
    disk: Disk,
    { id, directory }: { id: string; directory: string },
    signal: AbortSignal,
  ): Promise<DiskBase> {
    const { path: source, format, backingPaths } = await this.seal(disk, signal);
    const path = join(directory, `${id}.cow`);
    try {
      await copyStore(source, path, "seal.copy", signal);
      await chown(path, 0, 0);
      await chmod(path, 0o444);
      return { path, format, backingPaths };
    } catch (error) {
      await remove(path, "seal.copy.abandon");
      throw error;
    }
  }

  /** The device goes with the VM; the CoW file stays as it is. */
  async lock(base: DiskBase): Promise<void> {
    await this.detach(base);
    await chown(base.path, 0, 0);
    await chmod(base.path, 0o444);
  }

  async collapse(
    base: DiskBase,
    { id, directory, onto }: { id: string; directory: string; onto: DiskBase | undefined },
    signal: AbortSignal,
  ): Promise<DiskBase> {
    const chain = [base.path, ...base.backingPaths];
    const image = chain.at(-1) as string;
    const depth = onto === undefined ? chain.length - 1 : chain.indexOf(onto.path);
    if (depth < 1) throw new WrennError("internal", `Cannot collapse ${base.path}: it is not on ${onto?.path}`);
    const stores = chain.slice(0, depth);
    const path = join(directory, `${id}.${onto === undefined ? "raw" : "cow"}`);
    const temporary = join(directory, `.${id}.tmp`);
    await remove(temporary, "collapse.scratch");
    try {
      failpoint("collapse.disk");
      if (onto === undefined) await writeFlat({ stores, image, target: temporary }, signal);
      else await writeJoined({ stores, target: temporary, sizeBytes: (await stat(base.path)).size }, signal);
      await chmod(temporary, 0o444);
      await flush(temporary, "collapse.disk.fsync");
      await rename(temporary, path, "collapse.disk");
    } catch (error) {
      await remove(temporary, "collapse.scratch");
      throw error;
    }
    if (onto === undefined) return { path, format: "raw", backingPaths: [] };
    return { path, format: "dm-snapshot", backingPaths: [onto.path, ...onto.backingPaths] };
  }

  async check(base: DiskBase, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (base.format === "raw") return;
    const file = await open(base.path, "r");
    try {
      await readExceptions(file, base.path);
    } finally {
      await file.close();
    }
  }

  async detach(disk: Pick<Disk, "path">): Promise<void> {
    await this.#inTurn(() => detach(disk.path, AbortSignal.timeout(CLEANUP_DEADLINE_MS)));
  }

  async remove(disk: Pick<Disk, "path">): Promise<void> {
    // The file is the way to its loop devices: it goes last, and not at all if they cannot.
    await this.detach(disk);
    await remove(disk.path, "disk.remove");
  }

  async usage(disk: Pick<Disk, "path">): Promise<number> {
    return (await stat(disk.path)).blocks * 512;
  }

  /** What the kernel says of a disk that is attached. */
  async status(disk: Pick<Disk, "path">, signal: AbortSignal): Promise<SnapshotStatus> {
    return parseStatus(await statusOf(deviceName(disk.path), signal));
  }

  async sweep(directory: string, inUse: readonly Pick<Disk, "path">[]): Promise<void> {
    const root = await realpath(directory);
    const keep = new Set(inUse.map(({ path }) => deviceName(path)));
    const signal = AbortSignal.timeout(CLEANUP_DEADLINE_MS);
    await this.#inTurn(async () => {
      for (const { name, kernelName } of await mappedDevices()) {
        if (!name.startsWith(DISK_PREFIX) || keep.has(name)) continue;
        const below = await slavesOf(kernelName);
        // Another platform of this machine has devices of its own.
        const files = (await Promise.all(below.map(fileOfLoop))).filter((file) => file !== undefined);
        if (!files.some((file) => file.startsWith(`${root}/`))) continue;
        await removeMapped(name, signal);
        await closeUnused(below, signal);
      }
      await closeAllUnused(signal);
      // Attached by an agent that died before it made a device of it; the file may have gone since.
      for (const { kernelName, file } of await loopDevices()) {
        if (!file.startsWith(`${root}/`) || !DISK_FILE.test(file)) continue;
        if ((await holdersOf(kernelName)).length === 0) await detachLoop(kernelName, signal);
      }
    });
  }

  async #inTurn<T>(work: () => Promise<T>): Promise<T> {
    const mine = this.#turn.then(work);
    this.#turn = mine.catch(() => undefined);
    return await mine;
  }
}

/** The file's path names its device, also for an agent that knows only the path. */
function deviceName(path: string): string {
  return DISK_PREFIX + createHash("sha256").update(path).digest("hex").slice(0, 20);
}

/**
 * An empty CoW file on `base`; or, on a sealed disk, a clone of its CoW file, so that chains do not grow
 * where the file system shares blocks.
 * @returns what the new disk reads through to
 */
async function makeCowFile(path: string, base: DiskBase, sizeBytes: number): Promise<readonly string[]> {
  failpoint("disk.create");
  const cloned = base.format === "dm-snapshot" && (await cloneFile(base.path, path, "disk.clone"));
  const file = await open(path, cloned ? "r+" : "wx", 0o600);
  try {
    await file.chmod(0o600);
    // A larger store stays one; a smaller one could overflow.
    await file.truncate(Math.max(storeBytes(sizeBytes), (await file.stat()).size));
  } finally {
    await file.close();
  }
  return cloned ? base.backingPaths : [base.path, ...base.backingPaths];
}

/** @returns the disk's block device */
async function attach(disk: Disk, sizeBytes: number, signal: AbortSignal): Promise<string> {
  // Of an agent that died before it could record the disk.
  await detach(disk.path, AbortSignal.timeout(CLEANUP_DEADLINE_MS));
  const sectors = sizeBytes / SECTOR_BYTES;
  const used = [await openOrigin(baseBelow(disk.backingPaths), sectors, signal)];
  try {
    used.push(await attachLoop(disk.path, { readOnly: false, signal }));
    const [origin = "", cow = ""] = used;
    return nodeOf(await createMapped(deviceName(disk.path), snapshotTable(origin, cow, sectors), { signal }));
  } catch (error) {
    await closeUnused(used, AbortSignal.timeout(CLEANUP_DEADLINE_MS));
    throw error;
  }
}

/** Removes the disk's device, its loop device, and what it was built on if nobody else is. */
async function detach(path: string, signal: AbortSignal): Promise<void> {
  const name = deviceName(path);
  const device = await findMapped(name);
  const below = device === undefined ? [] : await slavesOf(device);
  await removeMapped(name, signal);
  await closeUnused(below, signal);
  // Attached by an agent that died before it made the device; a file that is gone has none.
  const file = await realpath(path).catch(() => path);
  for (const loop of await loopsOf(file)) if (!loop.readOnly) await detachLoop(loop.kernelName, signal);
}
