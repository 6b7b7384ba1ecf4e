/**
 * The guest's memory from outside: which pages a privately mapped guest has changed, their bytes, and
 * writing pages into a stopped guest. A changed page is one that is present or swapped and no longer
 * backed by the file (Documentation/admin-guide/mm/pagemap.rst): no misses in any run that was
 * measured, at most some equal pages too many. The guest's vCPUs must be stopped.
 */
import { open, readFile, stat, type FileHandle } from "node:fs/promises";
import { WrennError } from "@wrenn/errors";
import type { MemoryRun } from "../vmm.ts";

const PAGE_BYTES = 4096;
const ENTRY_BYTES = 8;
/** How much is read, compared and written at a time. */
const CHUNK_BYTES = 4 * 1024 * 1024;
const ZEROS = Buffer.alloc(PAGE_BYTES);

// The high 32 bits of a pagemap entry.
const PRESENT = 1 << 31;
const SWAPPED = 1 << 30;
const FILE_PAGE = 1 << 29;

/** A stretch of the guest's memory in the VMM's address space. */
interface Mapping {
  address: number;
  bytes: number;
  /** Where it begins in the memory image. */
  offset: number;
}

/** Finds where `imagePath` is mapped: by device and inode, for the VMM may see another path. */
async function findMappings(pid: number, imagePath: string): Promise<Mapping[]> {
  const { ino } = await stat(imagePath);
  const text = await readFile(`/proc/${pid}/maps`, "utf8");
  const mappings: Mapping[] = [];
  for (const line of text.split("\n")) {
    const fields = /^([0-9a-f]+)-([0-9a-f]+) rw\S* ([0-9a-f]+) \S+ (\d+)\s/.exec(line);
    if (fields === null || Number(fields[4]) !== ino) continue;
    const [, from = "", to = "", offset = ""] = fields;
    const address = Number.parseInt(from, 16);
    mappings.push({ address, bytes: Number.parseInt(to, 16) - address, offset: Number.parseInt(offset, 16) });
  }
  if (mappings.length === 0) {
    throw new WrennError("internal", `Cannot find the guest's memory in process ${pid}: ${imagePath} is not mapped`);
  }
  return mappings;
}

/** Runs of changed pages as [byte offset in the image, length], sorted. */
async function changedRuns(
  pid: number,
  mappings: Mapping[],
  signal: AbortSignal,
): Promise<{ offset: number; length: number; address: number }[]> {
  const runs: { offset: number; length: number; address: number }[] = [];
  const pagemap = await open(`/proc/${pid}/pagemap`, "r");
  try {
    for (const mapping of mappings) {
      const buffer = Buffer.alloc((mapping.bytes / PAGE_BYTES) * ENTRY_BYTES);
      await readFully(pagemap, buffer, (mapping.address / PAGE_BYTES) * ENTRY_BYTES);
      signal.throwIfAborted();
      let last: { offset: number; length: number; address: number } | undefined;
      for (let page = 0; page * PAGE_BYTES < mapping.bytes; page++) {
        const flags = buffer.readInt32LE(page * ENTRY_BYTES + 4);
        const changed = (flags & (PRESENT | SWAPPED)) !== 0 && (flags & FILE_PAGE) === 0;
        if (!changed) {
          last = undefined;
        } else if (last === undefined) {
          const start = page * PAGE_BYTES;
          last = { offset: mapping.offset + start, length: PAGE_BYTES, address: mapping.address + start };
          runs.push(last);
        } else {
          last.length += PAGE_BYTES;
        }
      }
    }
  } finally {
    await pagemap.close();
  }
  return runs.sort((a, b) => a.offset - b.offset);
}

/**
 * Writes the changed pages of a stopped guest to `target`, each at its own offset, and returns what is
 * there: a page of zeros is a run without storage, not a hole.
 */
export async function saveChangedPages(
  pid: number,
  imagePath: string,
  target: string,
  signal: AbortSignal,
): Promise<MemoryRun[]> {
  const mappings = await findMappings(pid, imagePath);
  const runs: MemoryRun[] = [];
  const memory = await open(`/proc/${pid}/mem`, "r");
  const file = await open(target, "wx", 0o600);
  try {
    await file.truncate((await stat(imagePath)).size);
    const buffer = Buffer.alloc(CHUNK_BYTES);
    for (const run of await changedRuns(pid, mappings, signal)) {
      for (let done = 0; done < run.length; done += CHUNK_BYTES) {
        signal.throwIfAborted();
        const chunk = buffer.subarray(0, Math.min(CHUNK_BYTES, run.length - done));
        await readFully(memory, chunk, run.address + done);
        for (const part of splitZeros(chunk, run.offset + done)) {
          append(runs, part);
          if (part.storageOffset === undefined) continue;
          const start = part.offset - (run.offset + done);
          await writeFully(file, chunk.subarray(start, start + part.length), part.offset);
        }
      }
    }
    await file.sync();
  } finally {
    await Promise.all([memory.close(), file.close()]);
  }
  return runs;
}

/** Writes runs of pages into a stopped guest that maps `imagePath` privately. */
export async function loadPages(
  pid: number,
  imagePath: string,
  source: string,
  runs: readonly MemoryRun[],
  signal: AbortSignal,
): Promise<void> {
  const mappings = await findMappings(pid, imagePath);
  const memory = await open(`/proc/${pid}/mem`, "r+");
  const file = await open(source, "r");
  try {
    const buffer = Buffer.alloc(CHUNK_BYTES);
    const zeros = Buffer.alloc(CHUNK_BYTES);
    for (const run of runs) {
      for (let done = 0, length = 0; done < run.length; done += length) {
        signal.throwIfAborted();
        const target = locate(mappings, run.offset + done);
        length = Math.min(CHUNK_BYTES, run.length - done, target.bytes);
        const chunk = (run.storageOffset === undefined ? zeros : buffer).subarray(0, length);
        if (run.storageOffset !== undefined) await readFully(file, chunk, run.storageOffset + done);
        await writeFully(memory, chunk, target.address);
      }
    }
  } finally {
    await Promise.all([memory.close(), file.close()]);
  }
}

/** Where an offset of the image is in the process, and how many bytes follow it there. */
function locate(mappings: readonly Mapping[], offset: number): { address: number; bytes: number } {
  const mapping = mappings.find((m) => offset >= m.offset && offset < m.offset + m.bytes);
  if (mapping === undefined)
    throw new WrennError("internal", `Cannot write guest memory at ${offset}: it is not mapped`);
  const skipped = offset - mapping.offset;
  return { address: mapping.address + skipped, bytes: mapping.bytes - skipped };
}

/** Cuts a chunk into runs of data and runs of zeros, page by page. */
function* splitZeros(chunk: Buffer, offset: number): Generator<MemoryRun> {
  let start = 0;
  let zero = isZero(chunk, 0);
  for (let at = PAGE_BYTES; at <= chunk.length; at += PAGE_BYTES) {
    if (at < chunk.length && isZero(chunk, at) === zero) continue;
    yield { offset: offset + start, length: at - start, storageOffset: zero ? undefined : offset + start };
    start = at;
    zero = !zero;
  }
}

const isZero = (chunk: Buffer, at: number): boolean => chunk.compare(ZEROS, 0, PAGE_BYTES, at, at + PAGE_BYTES) === 0;

function append(runs: MemoryRun[], run: MemoryRun): void {
  const last = runs.at(-1);
  const contiguous = last !== undefined && last.offset + last.length === run.offset;
  if (contiguous && (last.storageOffset === undefined) === (run.storageOffset === undefined)) last.length += run.length;
  else runs.push({ ...run });
}

async function readFully(file: FileHandle, buffer: Buffer, position: number): Promise<void> {
  for (let done = 0; done < buffer.length;) {
    const { bytesRead } = await file.read(buffer, done, buffer.length - done, position + done);
    if (bytesRead === 0) throw new WrennError("internal", `Cannot read guest memory: it ends at ${position + done}`);
    done += bytesRead;
  }
}

async function writeFully(file: FileHandle, buffer: Buffer, position: number): Promise<void> {
  for (let done = 0; done < buffer.length;) {
    const { bytesWritten } = await file.write(buffer, done, buffer.length - done, position + done);
    done += bytesWritten;
  }
}
