/** Joins CoW files without the kernel: only what was written is read and copied. */
import { open, type FileHandle } from "node:fs/promises";
import { cloneFile, remove, run } from "@wrenn/effects";
import { CHUNK_BYTES, readChunk, readExceptions, writeStore } from "./exception-store.ts";

const COPY_DEADLINE_MS = 1_800_000;

/** The chunks of several CoW files; a newer one hides those of the older. */
class JoinedChunks implements AsyncDisposable {
  readonly #files: { path: string; file: FileHandle }[] = [];
  readonly #places = new Map<number, { path: string; file: FileHandle; storeChunk: number }>();

  /** @param paths newest first */
  static async open(paths: readonly string[]): Promise<JoinedChunks> {
    const joined = new JoinedChunks();
    try {
      for (const path of paths.toReversed()) await joined.#add(path);
    } catch (error) {
      await joined[Symbol.asyncDispose]();
      throw error;
    }
    return joined;
  }

  get diskChunks(): number[] {
    return [...this.#places.keys()].sort((a, b) => a - b);
  }

  async read(diskChunk: number, buffer: Buffer): Promise<void> {
    const place = this.#places.get(diskChunk);
    if (place === undefined) throw new RangeError(`Cannot read chunk ${diskChunk}: no CoW file has it`);
    await readChunk(place.file, place.storeChunk, buffer, place.path);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#files.map(({ file }) => file.close()));
  }

  async #add(path: string): Promise<void> {
    const file = await open(path, "r");
    this.#files.push({ path, file });
    for (const { diskChunk, storeChunk } of await readExceptions(file, path)) {
      this.#places.set(diskChunk, { path, file, storeChunk });
    }
  }
}

/**
 * Copies a file that must not exist yet: its blocks are shared where the file system can, and its holes stay holes. A
 * clone that fails is an error: where blocks can be shared, what is a hole is not always told rightly (`writeFlat`).
 */
export async function copyStore(from: string, to: string, name: string, signal: AbortSignal): Promise<void> {
  if (!(await cloneFile(from, to, name))) await copySparse(from, to, signal);
}

async function copySparse(from: string, to: string, signal: AbortSignal): Promise<void> {
  await run(["cp", "--reflink=never", "--sparse=auto", "--", from, to], { signal, timeoutMs: COPY_DEADLINE_MS });
}

/**
 * Writes the whole disk as a raw image: the base's blocks shared where the file system can, and what was
 * written over it.
 *
 * Shared blocks are written over in a file of their own, of which the image is a clone: around such blocks XFS sets
 * others aside for minutes, and before Linux 6.9 `SEEK_DATA` takes what is shared there for holes ("xfs: fix
 * SEEK_HOLE/DATA for regions with active COW extents"). A clone has none set aside.
 * @param stores CoW files, newest first, whose oldest is on `image`
 */
export async function writeFlat(
  options: { stores: readonly string[]; image: string; target: string },
  signal: AbortSignal,
): Promise<void> {
  const { stores, image, target } = options;
  await using chunks = await JoinedChunks.open(stores);
  const written = `${target}.written`;
  await remove(written, "collapse.disk.written");
  try {
    if (await cloneFile(image, written, "collapse.disk.copy")) {
      await writeChunks(chunks, written, signal);
      await cloneFile(written, target, "collapse.disk.clone");
    } else {
      await copySparse(image, target, signal);
      await writeChunks(chunks, target, signal);
    }
  } finally {
    await remove(written, "collapse.disk.written");
  }
}

async function writeChunks(chunks: JoinedChunks, target: string, signal: AbortSignal): Promise<void> {
  const file = await open(target, "r+");
  try {
    const { size } = await file.stat();
    const last = chunks.diskChunks.at(-1) ?? 0;
    if ((last + 1) * CHUNK_BYTES > size) await file.truncate((last + 1) * CHUNK_BYTES);
    const buffer = Buffer.alloc(CHUNK_BYTES);
    for (const diskChunk of chunks.diskChunks) {
      signal.throwIfAborted();
      await chunks.read(diskChunk, buffer);
      await file.write(buffer, 0, CHUNK_BYTES, diskChunk * CHUNK_BYTES);
    }
  } finally {
    await file.close();
  }
}

/** Writes one CoW file that holds what all of `stores` hold, of the size of the newest. */
export async function writeJoined(
  options: { stores: readonly string[]; target: string; sizeBytes: number },
  signal: AbortSignal,
): Promise<void> {
  await using chunks = await JoinedChunks.open(options.stores);
  const file = await open(options.target, "wx", 0o600);
  try {
    await file.truncate(options.sizeBytes);
    await writeStore(file, chunks.diskChunks, async (diskChunk, buffer) => {
      signal.throwIfAborted();
      await chunks.read(diskChunk, buffer);
    });
  } finally {
    await file.close();
  }
}
