/** The disk of the testbed's state directory: a sparse file with a fresh file system. */
import { open } from "node:fs/promises";
import { remove, run } from "@wrenn/effects";

export type ScratchFileSystem = "xfs" | "ext4";

const MKFS = {
  xfs: ["mkfs.xfs", "-q", "-m", "reflink=1"],
  ext4: ["mkfs.ext4", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1"],
} as const satisfies Record<ScratchFileSystem, readonly [string, ...string[]]>;

/** Makes and formats the file; it must not exist. */
export async function makeScratchDisk(
  path: string,
  options: { fileSystem: ScratchFileSystem; sizeBytes: number },
  signal: AbortSignal,
): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.truncate(options.sizeBytes);
  } finally {
    await file.close();
  }
  try {
    await run([...MKFS[options.fileSystem], path], { signal });
  } catch (error) {
    await remove(path);
    throw error;
  }
}

/** The file system on a disk that was made before, by its magic number. */
export async function fileSystemOf(path: string): Promise<ScratchFileSystem | undefined> {
  const file = await open(path, "r");
  try {
    const { buffer } = await file.read(Buffer.alloc(1082), 0, 1082, 0);
    if (buffer.toString("latin1", 0, 4) === "XFSB") return "xfs";
    return buffer.readUInt16LE(1080) === 0xef53 ? "ext4" : undefined;
  } finally {
    await file.close();
  }
}
