/**
 * SHA-256 over all of a guest's memory, from its first byte to its last: as layers hold it, and as a VM was
 * given it. Equal digests say that a restore brings back what was captured.
 */
import { createHash, type Hash } from "node:crypto";
import { open, readFile, stat, type FileHandle } from "node:fs/promises";
import { WrennError } from "@wrenn/errors";
import { decodeHeader } from "../snapshot/header.ts";
import { guestMemoryOf, type Layer } from "../snapshot/layer.ts";

/** Hashing stops everything else in this process; so much of it at a time. */
const CHUNK_BYTES = 1024 * 1024;
const PAGE_BYTES = 4096;
/** Of `/proc/PID/pagemap`, Documentation/admin-guide/mm/pagemap.rst: one entry a page; flags in its last byte. */
const PAGEMAP_ENTRY_BYTES = 8;
const PRESENT = 0x80;
const SWAPPED = 0x40;
const OF_FILE = 0x20;

/** Resolves every page through the layer's header, as no restore does. Hexadecimal. */
export async function digestOfLayer(layer: Layer, signal: AbortSignal): Promise<string> {
  const { layers } = guestMemoryOf(layer);
  const { mapping } = decodeHeader(await readFile(layers.header));
  await using files = new AsyncDisposableStack();
  const opened = new Map<string, FileHandle>();
  for (const [build, path] of Object.entries(layers.builds)) {
    const file = await open(path, "r");
    files.defer(() => file.close());
    opened.set(build, file);
  }
  const hash = createHash("sha256");
  for (const { build, length, storageOffset } of mapping) {
    const file = build === undefined ? undefined : opened.get(build);
    if (build !== undefined && file === undefined)
      throw new WrennError("incompatible_snapshot", `Cannot read the layer ${layer.directory}: ${build} is missing`);
    await add(hash, file, storageOffset, length, signal);
  }
  return hash.digest("hex");
}

/** The memory of a VM that was restored on an image, and is still stopped. */
export interface RestoredMemory {
  /** Of all that was mapped, before the VMM wrote to it. Hexadecimal. */
  digest: string;
  /** Pages that the VMM itself has changed since: what its devices and its clock tell the guest. */
  changedPages: number;
}

/**
 * The image is mapped privately, so that a page which the VMM has written is no page of the file any more, and the
 * kernel says so (`/proc/PID/pagemap`). In the digest each of these counts as the file has it: no byte is left out.
 * @param imagePath the memory image that the VM maps
 */
export async function readRestoredMemory(pid: number, imagePath: string, signal: AbortSignal): Promise<RestoredMemory> {
  const { ino } = await stat(imagePath);
  const mappings = (await readFile(`/proc/${pid}/maps`, "utf8"))
    .split("\n")
    .flatMap((line) => mappingOf(line, ino))
    .sort((a, b) => a.offset - b.offset);
  if (mappings.length === 0)
    throw new WrennError("internal", `Cannot read the memory of ${pid}: it does not map ${imagePath}`);
  await using memory = await open(`/proc/${pid}/mem`, "r");
  await using pagemap = await open(`/proc/${pid}/pagemap`, "r");
  await using image = await open(imagePath, "r");
  const hash = createHash("sha256");
  let changedPages = 0;
  for (const { address, length, offset } of mappings) {
    for (let done = 0; done < length; done += CHUNK_BYTES) {
      signal.throwIfAborted();
      const bytes = await readExactly(memory, address + done, Math.min(CHUNK_BYTES, length - done));
      for (const at of await privatePages(pagemap, address + done, bytes.length)) {
        const found = bytes.subarray(at, at + PAGE_BYTES);
        const given = await readExactly(image, offset + done + at, found.length);
        if (!given.equals(found)) changedPages++;
        given.copy(found);
      }
      hash.update(bytes);
    }
  }
  return { digest: hash.digest("hex"), changedPages };
}

/** Offsets of the pages of a file's mapping that were written: in memory or swapped out, and not the file's. */
async function privatePages(pagemap: FileHandle, address: number, length: number): Promise<number[]> {
  const entries = await readExactly(
    pagemap,
    (address / PAGE_BYTES) * PAGEMAP_ENTRY_BYTES,
    (length / PAGE_BYTES) * PAGEMAP_ENTRY_BYTES,
  );
  const offsets: number[] = [];
  for (let page = 0; page * PAGE_BYTES < length; page++) {
    const flags = entries.readUInt8((page + 1) * PAGEMAP_ENTRY_BYTES - 1);
    const exists = (flags & (PRESENT | SWAPPED)) !== 0;
    if (exists && (flags & OF_FILE) === 0) offsets.push(page * PAGE_BYTES);
  }
  return offsets;
}

function mappingOf(line: string, inode: number): { address: number; length: number; offset: number }[] {
  const [, from = "", to = "", offset = "", found] =
    /^([0-9a-f]+)-([0-9a-f]+) rw\S* ([0-9a-f]+) \S+ (\d+)\s/.exec(line) ?? [];
  if (Number(found) !== inode) return [];
  const address = Number.parseInt(from, 16);
  return [{ address, length: Number.parseInt(to, 16) - address, offset: Number.parseInt(offset, 16) }];
}

/** @param file undefined for zeros */
async function add(
  hash: Hash,
  file: FileHandle | undefined,
  position: number,
  length: number,
  signal: AbortSignal,
): Promise<void> {
  for (let done = 0; done < length; done += CHUNK_BYTES) {
    signal.throwIfAborted();
    const wanted = Math.min(CHUNK_BYTES, length - done);
    hash.update(file === undefined ? Buffer.alloc(wanted) : await readExactly(file, position + done, wanted));
  }
}

async function readExactly(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(buffer, done, length - done, position + done);
    if (bytesRead === 0)
      throw new WrennError("incompatible_snapshot", `Cannot read memory: it ends at ${position + done}`);
    done += bytesRead;
  }
  return buffer;
}
