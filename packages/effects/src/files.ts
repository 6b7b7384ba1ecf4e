/**
 * Every durable change of a file system goes through here: writes that are flushed before they are
 * visible, renames that are flushed after, and removals that may be repeated.
 * `name` is the failpoint that guards the effect.
 */
import { constants, type Stats } from "node:fs";
import * as fs from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { failpoint } from "./failpoint.ts";

const BUSY_ATTEMPTS = 10;
const BUSY_RETRY_MS = 10;

/** Flushes a file or directory (fsync). */
export async function flush(path: string, name = "flush"): Promise<void> {
  failpoint(name);
  const handle = await fs.open(path, constants.O_RDONLY);
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Bytes that wait beside the file that they are to replace. */
export interface StagedFile {
  /** Replaces the file: readers see the old bytes or the new ones, also after a crash. The name is not flushed. */
  commit(): Promise<void>;
  /** Removes the bytes; harmless after `commit`. */
  discard(): Promise<void>;
}

export interface WriteOptions {
  mode?: number;
  name?: string;
}

/**
 * Writes `data` beside `path`, to take its place later at the cost of a rename.
 * @param options.durable false leaves out the flush, for what a power cut ends as well
 */
export async function stageFile(
  path: string,
  data: string | Uint8Array,
  options: WriteOptions & { durable?: boolean } = {},
): Promise<StagedFile> {
  const { mode = 0o600, name = "write", durable = true } = options;
  const temporary = `${path}.${process.pid}.${crypto.randomUUID()}.tmp`;
  const discard = async (): Promise<void> => await fs.rm(temporary, { force: true });
  const orDiscard = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await work();
    } catch (error) {
      await discard();
      throw error;
    }
  };
  await orDiscard(async () => {
    failpoint(`${name}.create`);
    const handle = await fs.open(temporary, "wx", mode);
    try {
      await handle.writeFile(data);
      await handle.chmod(mode); // exact bits, whatever the umask is
      if (durable) {
        failpoint(`${name}.fsync`);
        await handle.sync();
      }
    } finally {
      await handle.close();
    }
  });
  const commit = async (): Promise<void> =>
    await orDiscard(async () => {
      failpoint(`${name}.rename`);
      await fs.rename(temporary, path);
    });
  return { commit, discard };
}

/**
 * Replaces `path` by `data`: readers see the old bytes or the new ones, also after a crash.
 * - `durable: true`: a power cut does not undo it.
 * - `durable: "contents"`: a power cut may bring the old bytes back, whole; right where both mean the same.
 * - `durable: false`: no flush; right only for records of things that a power cut ends as well, for it
 *   may leave neither.
 */
export async function writeFileAtomic(
  path: string,
  data: string | Uint8Array,
  options: WriteOptions & { durable?: boolean | "contents" } = {},
): Promise<void> {
  const { name = "write", durable = true } = options;
  const staged = await stageFile(path, data, { ...options, durable: durable !== false });
  await staged.commit();
  if (durable === true) await flush(dirname(path), `${name}.parent`);
}

/** Makes a directory visible under its final name: flushes it, renames, flushes the parent. */
export async function publishDirectory(temporary: string, final: string, name = "publish"): Promise<void> {
  const entries = await fs.readdir(temporary, { recursive: true, withFileTypes: true });
  const paths = entries.flatMap((entry) =>
    entry.isFile() || entry.isDirectory() ? [join(entry.parentPath, entry.name)] : [],
  );
  // At once: the file system's journal takes them together.
  await Promise.all([...paths, temporary].map((path) => flush(path, `${name}.fsync`)));
  await rename(temporary, final, name);
}

/** Renames within one file system and flushes the parent of the new name. */
export async function rename(from: string, to: string, name = "rename"): Promise<void> {
  failpoint(`${name}.rename`);
  await fs.rename(from, to);
  await flush(dirname(to), `${name}.parent`);
}

/** Removes a file or a tree; a missing one is success. */
export async function remove(path: string, name = "remove"): Promise<void> {
  failpoint(name);
  await fs.rm(path, { recursive: true, force: true, maxRetries: 2 });
}

/** Removes an empty directory; a missing one is success. A cgroup stays busy for a moment behind its last process. */
export async function removeEmptyDirectory(path: string, name = "rmdir"): Promise<void> {
  failpoint(name);
  for (let attempt = 1; ; attempt++) {
    try {
      await fs.rmdir(path);
      return;
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT") return;
      if (code !== "EBUSY" || attempt === BUSY_ATTEMPTS) throw error;
      await setTimeout(BUSY_RETRY_MS * attempt);
    }
  }
}

/** Copies a file, sharing blocks where the file system can (FICLONE). */
export async function copyFile(from: string, to: string, name = "copy"): Promise<void> {
  failpoint(name);
  await fs.copyFile(from, to, constants.COPYFILE_FICLONE | constants.COPYFILE_EXCL);
}

/** Copies a file by sharing its blocks (FICLONE); false, and nothing made, where the file system cannot. */
export async function cloneFile(from: string, to: string, name = "clone"): Promise<boolean> {
  failpoint(name);
  try {
    await fs.copyFile(from, to, constants.COPYFILE_FICLONE_FORCE | constants.COPYFILE_EXCL);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOTSUP" || code === "EXDEV" || code === "EINVAL" || code === "ENOSYS" || code === "ENOTTY")
      return false;
    throw error;
  }
}

/** Gives a file a second name in the same file system; the new one must not exist. */
export async function hardLink(from: string, to: string, name = "link"): Promise<void> {
  failpoint(name);
  await fs.link(from, to);
}

/** What `found` is, or undefined when there is nothing at its path. What cannot be read is an error: it may be there. */
export async function ifExists<T>(found: Promise<T>): Promise<T | undefined> {
  try {
    return await found;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw error;
  }
}

/** `stat`, or undefined when nothing is there. */
export async function statIfExists(path: string): Promise<Stats | undefined> {
  return await ifExists(fs.stat(path));
}
