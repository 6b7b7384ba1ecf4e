/** What a sandbox takes of the disk beside the run of its VM: its layers, and the disks that belong to them. */
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { SandboxPaths } from "./record.ts";

const BLOCK_BYTES = 512;

/**
 * Allocated bytes, so that holes count nothing; 0 for what is gone meanwhile. A file that others have too, by a
 * hard link, counts in equal parts with each: once in all.
 * @param livePath the disk that the VM writes, which belongs to no layer yet
 */
export async function storedBytes({ layers, disks }: SandboxPaths, livePath: string | undefined): Promise<number> {
  const files = (await Promise.all([layers, disks].map(filesBelow))).flat();
  const blocks = files.filter(({ path }) => path !== livePath).map((file) => file.blocks);
  return Math.round(blocks.reduce((sum, one) => sum + one, 0) * BLOCK_BYTES);
}

async function filesBelow(directory: string): Promise<{ path: string; blocks: number }[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const found = await Promise.all(files.map(async (path) => ({ path, blocks: await blocksOf(path) })));
  return found;
}

async function blocksOf(path: string): Promise<number> {
  const found = await lstat(path).catch(() => undefined);
  return found === undefined ? 0 : found.blocks / found.nlink;
}
