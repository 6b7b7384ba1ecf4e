/**
 * SHA-256 over all of a guest's memory, from its first byte to its last: as layers hold it, and as a
 * stopped VM has it. Equal digests say that a restore brings back what was captured.
 */
import { createHash, type Hash } from "node:crypto";
import { open, readFile, stat, type FileHandle } from "node:fs/promises";
import { WrennError } from "@wrenn/errors";
import { decodeHeader } from "../snapshot/header.ts";
import { guestMemoryOf, type Layer } from "../snapshot/layer.ts";

/** Hashing stops everything else in this process; so much of it at a time. */
const CHUNK_BYTES = 1024 * 1024;

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

/** @param imagePath the memory image that the VM maps; its vCPUs must be stopped. Hexadecimal. */
export async function digestOfProcess(pid: number, imagePath: string, signal: AbortSignal): Promise<string> {
  const { ino } = await stat(imagePath);
  const mappings = (await readFile(`/proc/${pid}/maps`, "utf8"))
    .split("\n")
    .flatMap((line) => mappingOf(line, ino))
    .sort((a, b) => a.offset - b.offset);
  if (mappings.length === 0)
    throw new WrennError("internal", `Cannot read the memory of ${pid}: it does not map ${imagePath}`);
  const memory = await open(`/proc/${pid}/mem`, "r");
  try {
    const hash = createHash("sha256");
    for (const { address, length } of mappings) await add(hash, memory, address, length, signal);
    return hash.digest("hex");
  } finally {
    await memory.close();
  }
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
  const buffer = Buffer.alloc(Math.min(CHUNK_BYTES, length));
  for (let done = 0; done < length;) {
    signal.throwIfAborted();
    const wanted = Math.min(buffer.length, length - done);
    const bytes = file === undefined ? wanted : (await file.read(buffer, 0, wanted, position + done)).bytesRead;
    if (bytes === 0) throw new WrennError("incompatible_snapshot", `Cannot read memory: it ends at ${position + done}`);
    hash.update(buffer.subarray(0, bytes));
    done += bytes;
  }
}
