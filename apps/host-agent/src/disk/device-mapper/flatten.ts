/** Joins CoW files without the kernel: only what was written is read and copied. */
import { open, stat, type FileHandle } from "node:fs/promises";
import { failpoint, run } from "@wrenn/effects";
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

/** Copies a file that must not exist yet: its blocks are shared where the file system can, and its holes stay holes. */
export async function copySparse(from: string, to: string, name: string, signal: AbortSignal): Promise<void> {
  failpoint(name);
  await run(["cp", "--reflink=auto", "--sparse=auto", "--", from, to], { signal, timeoutMs: COPY_DEADLINE_MS });
}

/**
 * Writes the whole disk as a raw image: the base's blocks shared where the file system can, and what was
 * written over it.
 * @param stores CoW files, newest first, whose oldest is on `image`
 */
export async function writeFlat(
  options: { stores: readonly string[]; image: string; target: string },
  signal: AbortSignal,
): Promise<void> {
  await using chunks = await JoinedChunks.open(options.stores);
  await copySparse(options.image, options.target, "collapse.disk.copy", signal);
  const file = await open(options.target, "r+");
  try {
    const { size } = await stat(options.target);
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
