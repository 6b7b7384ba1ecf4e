/**
 * The persistent exception store of a dm-snapshot: which chunks of the origin were written, and where
 * their new content lies in the CoW file. Little-endian; everything counts in chunks of 4 KiB.
 * Source: Documentation/admin-guide/device-mapper/snapshot.rst and drivers/md/dm-snap-persistent.c.
 *
 *     chunk 0            header: magic, valid, version, chunk size in sectors (u32 each)
 *     then, repeated     one chunk of 256 exceptions {old u64, new u64}, 256 chunks of data
 *
 * The first exception whose new chunk is 0 ends the store: 0 is the header.
 */
import type { FileHandle } from "node:fs/promises";
import { WrennError } from "@wrenn/errors";

export const SECTOR_BYTES = 512;
export const CHUNK_BYTES = 4096;
export const CHUNK_SECTORS = CHUNK_BYTES / SECTOR_BYTES;
const MAGIC = 0x70416e53; // "SnAp"
const VERSION = 1;
const EXCEPTION_BYTES = 16;
const EXCEPTIONS_PER_AREA = CHUNK_BYTES / EXCEPTION_BYTES;
/** Chunks from one area's exceptions to the next's. */
const AREA_STRIDE = EXCEPTIONS_PER_AREA + 1;

/** Content of a chunk of the disk, and the chunk of the CoW file that holds it. */
export interface Exception {
  diskChunk: number;
  storeChunk: number;
}

/** Bytes of a CoW file that a disk of `diskBytes` cannot overflow, whatever the guest writes. */
export function storeBytes(diskBytes: number): number {
  const chunks = Math.ceil(diskBytes / CHUNK_BYTES);
  // The kernel wants room for one area more than it fills.
  const areas = Math.ceil(chunks / EXCEPTIONS_PER_AREA) + 1;
  return (1 + areas * AREA_STRIDE) * CHUNK_BYTES;
}

/**
 * Every exception of a CoW file, in the order in which they were made; none when nothing was ever written.
 * @throws WrennError `incompatible_snapshot` when it is damaged or was invalidated by the kernel
 */
export async function readExceptions(file: FileHandle, path: string): Promise<Exception[]> {
  const { size } = await file.stat();
  const chunk = Buffer.alloc(CHUNK_BYTES);
  await readChunk(file, 0, chunk, path);
  if (chunk.every((byte) => byte === 0)) return [];
  if (chunk.readUInt32LE(0) !== MAGIC) throw damaged(path, "it has no exception store");
  if (chunk.readUInt32LE(4) !== 1) throw damaged(path, "the kernel gave it up");
  if (chunk.readUInt32LE(8) !== VERSION || chunk.readUInt32LE(12) !== CHUNK_SECTORS) {
    throw damaged(path, "its version or chunk size is another");
  }
  const exceptions: Exception[] = [];
  const chunksInFile = Math.floor(size / CHUNK_BYTES);
  const seen = new Set<number>();
  for (let area = 0; 1 + area * AREA_STRIDE < chunksInFile; area++) {
    await readChunk(file, 1 + area * AREA_STRIDE, chunk, path);
    for (let index = 0; index < EXCEPTIONS_PER_AREA; index++) {
      const diskChunk = Number(chunk.readBigUInt64LE(index * EXCEPTION_BYTES));
      const storeChunk = Number(chunk.readBigUInt64LE(index * EXCEPTION_BYTES + 8));
      if (storeChunk === 0) return exceptions;
      if (!isDataChunk(storeChunk) || storeChunk >= chunksInFile) {
        throw damaged(path, `its chunk ${diskChunk} is said to be at ${storeChunk}`);
      }
      if (seen.has(diskChunk)) throw damaged(path, `its chunk ${diskChunk} is there twice`);
      seen.add(diskChunk);
      exceptions.push({ diskChunk, storeChunk });
    }
  }
  return exceptions;
}

/**
 * Bytes of a CoW file up to the last chunk in use; what is behind them says nothing.
 * @throws WrennError `incompatible_snapshot` when it is damaged
 */
export async function usedStoreBytes(file: FileHandle, path: string): Promise<number> {
  const exceptions = await readExceptions(file, path);
  const lastArea = 1 + Math.floor(Math.max(0, exceptions.length - 1) / EXCEPTIONS_PER_AREA) * AREA_STRIDE;
  const last = exceptions.reduce((most, { storeChunk }) => Math.max(most, storeChunk), lastArea);
  return Math.min((last + 1) * CHUNK_BYTES, (await file.stat()).size);
}

/** Neither the header nor a chunk of exceptions. */
function isDataChunk(chunk: number): boolean {
  return Number.isSafeInteger(chunk) && chunk > 1 && (chunk - 1) % AREA_STRIDE !== 0;
}

/**
 * Writes an exception store into an empty file: its chunks of the disk in the order given, each with the
 * content that `read` puts into the buffer.
 */
export async function writeStore(
  file: FileHandle,
  diskChunks: readonly number[],
  read: (diskChunk: number, buffer: Buffer) => Promise<void>,
): Promise<void> {
  const header = Buffer.alloc(CHUNK_BYTES);
  [MAGIC, 1, VERSION, CHUNK_SECTORS].forEach((value, index) => header.writeUInt32LE(value, 4 * index));
  await file.write(header, 0, CHUNK_BYTES, 0);
  const content = Buffer.alloc(CHUNK_BYTES);
  // One area more: the kernel reads on until it finds an empty exception.
  for (let area = 0; area * EXCEPTIONS_PER_AREA <= diskChunks.length; area++) {
    const exceptions = Buffer.alloc(CHUNK_BYTES);
    const first = 1 + area * AREA_STRIDE;
    const here = diskChunks.slice(area * EXCEPTIONS_PER_AREA, (area + 1) * EXCEPTIONS_PER_AREA);
    for (const [index, diskChunk] of here.entries()) {
      const storeChunk = first + 1 + index;
      exceptions.writeBigUInt64LE(BigInt(diskChunk), index * EXCEPTION_BYTES);
      exceptions.writeBigUInt64LE(BigInt(storeChunk), index * EXCEPTION_BYTES + 8);
      await read(diskChunk, content);
      await file.write(content, 0, CHUNK_BYTES, storeChunk * CHUNK_BYTES);
    }
    await file.write(exceptions, 0, CHUNK_BYTES, first * CHUNK_BYTES);
  }
}

export async function readChunk(file: FileHandle, chunk: number, buffer: Buffer, path: string): Promise<void> {
  const { bytesRead } = await file.read(buffer, 0, CHUNK_BYTES, chunk * CHUNK_BYTES);
  if (bytesRead !== CHUNK_BYTES) throw damaged(path, "it was cut short");
}

function damaged(path: string, reason: string): WrennError {
  return new WrennError("incompatible_snapshot", `Cannot use the disk ${path}: ${reason}`);
}
