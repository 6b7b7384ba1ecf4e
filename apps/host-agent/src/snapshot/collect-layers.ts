/**
 * Removes layers and disks that nothing needs any more. What is needed is what the kept layers name in
 * their meta.json, and what somebody holds by a lease; everything else in the two directories goes, the
 * temporary directories of interrupted commits among it.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { remove } from "@wrenn/effects";
import { filesOf } from "./layer-leases.ts";
import type { Layer } from "./layer.ts";

export interface CollectOptions {
  /** Directory of layers, one entry each. */
  layers: string;
  /** Directory of disks: a directory for each run, and for each that was made of others. */
  disks: string;
  /** Layers that can be resumed. */
  keep: readonly Layer[];
  /** Paths that are in use beside them: the disk of a running VM, what a lease holds. */
  inUse: ReadonlySet<string>;
}

/** @returns the paths that were removed; repeating is success */
export async function collectLayers({ layers, disks, keep, inUse }: CollectOptions): Promise<string[]> {
  const needed = new Set([...inUse, ...keep.flatMap((layer) => filesOf(layer))]);
  const removed: string[] = [];
  for (const name of await entriesOf(layers)) {
    const directory = join(layers, name);
    if ([...needed].some((path) => path === directory || path.startsWith(`${directory}/`))) continue;
    await remove(directory, "collect.layer");
    removed.push(directory);
  }
  for (const run of await entriesOf(disks)) {
    const directory = join(disks, run);
    if (needed.has(directory)) continue;
    const files = (await entriesOf(directory)).map((name) => join(directory, name));
    const unneeded = files.filter((path) => !needed.has(path));
    for (const path of unneeded.length === files.length ? [directory] : unneeded) {
      await remove(path, "collect.disk");
      removed.push(path);
    }
  }
  return removed;
}

async function entriesOf(directory: string): Promise<string[]> {
  try {
    return await readdir(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
