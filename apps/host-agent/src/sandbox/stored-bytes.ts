/** What a sandbox takes of the disk beside the run of its VM: its layers, and the disks that belong to them. */
import { lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { SandboxPaths } from "./record.ts";

const BLOCK_BYTES = 512;

/**
 * Allocated bytes, so that holes count nothing; 0 for what is gone meanwhile.
 * @param livePath the disk that the VM writes, which belongs to no layer yet
 */
export async function storedBytes({ layers, disks }: SandboxPaths, livePath: string | undefined): Promise<number> {
  const files = (await Promise.all([layers, disks].map(filesBelow))).flat();
  const blocks = files.filter(({ path }) => path !== livePath).map((file) => file.blocks);
  return blocks.reduce((sum, one) => sum + one, 0) * BLOCK_BYTES;
}

async function filesBelow(directory: string): Promise<{ path: string; blocks: number }[]> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
  const found = await Promise.all(
    files.map(async (path) => ({ path, blocks: (await lstat(path).catch(() => undefined))?.blocks ?? 0 })),
  );
  return found;
}
