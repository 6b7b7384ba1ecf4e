/**
 * What snapshots are built on: one shared device per base and size, read-only. A template's image is a loop
 * device (and zeros behind it, where the disk is larger); a sealed disk is a read-only snapshot on its own
 * origin. All are named by what they hold, found again in the kernel, and removed when nobody is built on
 * them: who uses what is asked of the kernel, so that an agent that was killed leaves no wrong count.
 */
import { createHash } from "node:crypto";
import { realpath, stat } from "node:fs/promises";
import type { DiskBase } from "../disk-store.ts";
import { fileOfLoop, findMapped, holdersOf, loopsOf, mappedDevices, nodeOf, slavesOf } from "./block-devices.ts";
import { attachLoop, createMapped, detachLoop, removeMapped } from "./dmsetup.ts";
import { CHUNK_SECTORS, SECTOR_BYTES } from "./exception-store.ts";

const ORIGIN_PREFIX = "wrenn-base-";
const ROLLBACK_DEADLINE_MS = 60_000;

/**
 * The device of `base` at a size in sectors, made if it is not there. The caller holds the store's lock.
 * @returns its kernel name
 */
export async function openOrigin(base: DiskBase, sectors: number, signal: AbortSignal): Promise<string> {
  const name = await originName(base, sectors);
  const existing = await findMapped(name);
  if (existing !== undefined) return existing;
  const used: string[] = [];
  try {
    if (base.backingPaths.length > 0) used.push(await openOrigin(baseBelow(base.backingPaths), sectors, signal));
    used.push(await sharedLoop(base.path, signal));
    const [below = "", cow] = used;
    const table = cow === undefined ? await imageTable(base.path, below, sectors) : snapshotTable(below, cow, sectors);
    return await createMapped(name, table, { readOnly: true, signal });
  } catch (error) {
    await rollBack(name, base.path, used, AbortSignal.timeout(ROLLBACK_DEADLINE_MS));
    throw error;
  }
}

/** A tool that is stopped may have made its device already. */
async function rollBack(name: string, file: string, used: readonly string[], signal: AbortSignal): Promise<void> {
  const made = await findMapped(name);
  if (made !== undefined) await closeUnused([made], signal);
  const loops = (await loopsOf(await realpath(file))).filter(({ readOnly }) => readOnly);
  await closeUnused([...new Set([...used, ...loops.map(({ kernelName }) => kernelName)])], signal);
}

/** Removes those of the devices on which nothing is built, and likewise what they were built on. */
export async function closeUnused(kernelNames: readonly string[], signal: AbortSignal): Promise<void> {
  for (const kernelName of kernelNames) {
    if ((await holdersOf(kernelName)).length > 0) continue;
    if (kernelName.startsWith("loop")) {
      if ((await fileOfLoop(kernelName)) === undefined) continue; // it is free already
      await detachLoop(kernelName, signal);
      continue;
    }
    const device = (await mappedDevices()).find((mapped) => mapped.kernelName === kernelName);
    if (device === undefined || !device.name.startsWith(ORIGIN_PREFIX)) continue;
    const below = await slavesOf(kernelName);
    await removeMapped(device.name, signal);
    await closeUnused(below, signal);
  }
}

/** Removes the origins that nothing is built on: what a killed agent left. */
export async function closeAllUnused(signal: AbortSignal): Promise<void> {
  const origins = (await mappedDevices()).filter(({ name }) => name.startsWith(ORIGIN_PREFIX));
  for (const { kernelName } of origins) await closeUnused([kernelName], signal);
}

/** The base that a chain of paths, nearest first, names: the last one is a template's image. */
export function baseBelow(paths: readonly string[]): DiskBase {
  const [path = "", ...backingPaths] = paths;
  return { path, format: backingPaths.length === 0 ? "raw" : "dm-snapshot", backingPaths };
}

/** The table of a persistent snapshot of one device whose exception store is another. */
export function snapshotTable(origin: string, cow: string, sectors: number): string[] {
  return [`0 ${sectors} snapshot ${nodeOf(origin)} ${nodeOf(cow)} P ${CHUNK_SECTORS}`];
}

/** An image, and zeros behind it up to the size of the disk. */
async function imageTable(image: string, loop: string, sectors: number): Promise<string[]> {
  const own = Math.min(sectors, Math.floor((await stat(image)).size / SECTOR_BYTES));
  const beyond = own < sectors ? [`${own} ${sectors - own} zero`] : [];
  return [`0 ${own} linear ${nodeOf(loop)} 0`, ...beyond];
}

/** A device of another inode is another device: a template that was replaced is not its old one. */
async function originName(base: DiskBase, sectors: number): Promise<string> {
  const { ino, dev } = await stat(base.path);
  const identity = JSON.stringify([base.path, ino, dev, sectors, base.backingPaths]);
  return ORIGIN_PREFIX + createHash("sha256").update(identity).digest("hex").slice(0, 20);
}

async function sharedLoop(file: string, signal: AbortSignal): Promise<string> {
  const existing = (await loopsOf(await realpath(file))).find(({ readOnly }) => readOnly);
  return existing?.kernelName ?? (await attachLoop(file, { readOnly: true, signal }));
}
