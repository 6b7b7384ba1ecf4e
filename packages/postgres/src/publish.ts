/**
 * Directories that appear whole or not at all, also when two processes make the same one: the first
 * rename wins and the other's work is dropped. Temporary names carry the process id of their maker,
 * so that what a killed process left can be told from what a live one is making.
 */
import * as fs from "node:fs/promises";
import { join } from "node:path";
import { kill, remove } from "@wrenn/effects";

/** Makes an empty directory beside the final one. */
export async function temporaryDirectory(root: string, name: string): Promise<string> {
  const path = join(root, `tmp.${process.pid}.${name}.${crypto.randomUUID()}`);
  await fs.mkdir(path, { mode: 0o700 });
  return path;
}

/** Publishes by `rename`, or leaves what another process has published meanwhile. */
export async function publishOnce(
  temporary: string,
  final: string,
  rename: (from: string, to: string) => Promise<void>,
): Promise<void> {
  try {
    await rename(temporary, final);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "ENOTEMPTY" && code !== "EEXIST") throw error;
  }
}

/** Removes what processes that are gone were making. */
export async function removeLeftovers(root: string): Promise<void> {
  for (const name of await fs.readdir(root)) {
    const maker = /^tmp\.(\d+)\./.exec(name)?.[1];
    if (maker !== undefined && !kill(Number(maker), 0)) await remove(join(root, name), "postgres.leftover");
  }
}
