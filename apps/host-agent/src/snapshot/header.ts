/**
 * `mem.header`: the mapping of a layer's memory as bytes, little-endian.
 *
 *     0   magic "WRNMEM\0\1"        8
 *     8   version u32, block bytes u32
 *     16  size u64, generation u64
 *     32  build id, base build id   32 bytes each, NUL-padded ASCII
 *     96  build count u32, entry count u32
 *     104 build ids                 32 bytes each
 *     …   entries                   {offset u64, length u64, build index u32 (0xffffffff: zeros), 0 u32, storage offset u64}
 *     …   CRC-32 of all before      u32
 */
import { crc32 } from "node:zlib";
import { WrennError } from "@wrenn/errors";
import { validate, type Mapping, type MappingEntry } from "./mapping.ts";

const MAGIC = Buffer.from("WRNMEM\0\x01", "latin1");
const VERSION = 1;
const FIXED_BYTES = 104;
const ID_BYTES = 32;
const ENTRY_BYTES = 32;
const ZEROS = 0xffffffff;
/** A header of 2^22 entries maps 16 GiB page by page; nothing that we write comes near. */
const MAX_ENTRIES = 1 << 22;
const MAX_BUILDS = 1 << 12;

export const BLOCK_BYTES = 4096;

export interface MemoryHeader {
  /** Bytes of guest memory. */
  size: number;
  /** How many layers are below this one. */
  generation: number;
  buildId: string;
  /** The whole memory at the bottom. */
  baseBuildId: string;
  mapping: Mapping;
}

export function encodeHeader(header: MemoryHeader): Buffer {
  const builds = [...new Set(header.mapping.flatMap(({ build }) => (build === undefined ? [] : [build])))];
  const index = new Map(builds.map((build, position) => [build, position]));
  const bytes = Buffer.alloc(FIXED_BYTES + builds.length * ID_BYTES + header.mapping.length * ENTRY_BYTES + 4);
  MAGIC.copy(bytes);
  bytes.writeUInt32LE(VERSION, 8);
  bytes.writeUInt32LE(BLOCK_BYTES, 12);
  bytes.writeBigUInt64LE(BigInt(header.size), 16);
  bytes.writeBigUInt64LE(BigInt(header.generation), 24);
  writeId(bytes, 32, header.buildId);
  writeId(bytes, 64, header.baseBuildId);
  bytes.writeUInt32LE(builds.length, 96);
  bytes.writeUInt32LE(header.mapping.length, 100);
  let at = FIXED_BYTES;
  for (const build of builds) at = writeId(bytes, at, build);
  for (const { offset, length, build, storageOffset } of header.mapping) {
    bytes.writeBigUInt64LE(BigInt(offset), at);
    bytes.writeBigUInt64LE(BigInt(length), at + 8);
    bytes.writeUInt32LE(build === undefined ? ZEROS : (index.get(build) as number), at + 16);
    bytes.writeBigUInt64LE(BigInt(storageOffset), at + 24);
    at += ENTRY_BYTES;
  }
  bytes.writeUInt32LE(crc32(bytes.subarray(0, at)), at);
  return bytes;
}

/** @throws WrennError `incompatible_snapshot` for anything that `encodeHeader` does not write */
export function decodeHeader(bytes: Buffer): MemoryHeader {
  if (bytes.length < FIXED_BYTES + 4 || !bytes.subarray(0, MAGIC.length).equals(MAGIC))
    throw malformed("it is not one");
  const version = bytes.readUInt32LE(8);
  if (version !== VERSION) throw malformed(`version ${version} is unknown`);
  if (bytes.readUInt32LE(12) !== BLOCK_BYTES) throw malformed("its block size is unknown");
  const builds = bytes.readUInt32LE(96);
  const count = bytes.readUInt32LE(100);
  if (builds > MAX_BUILDS || count > MAX_ENTRIES) throw malformed("it claims too many entries");
  const end = FIXED_BYTES + builds * ID_BYTES + count * ENTRY_BYTES;
  if (bytes.length !== end + 4) throw malformed("its length is wrong");
  if (crc32(bytes.subarray(0, end)) !== bytes.readUInt32LE(end)) throw malformed("its checksum is wrong");
  const ids = Array.from({ length: builds }, (_, position) => readId(bytes, FIXED_BYTES + position * ID_BYTES));
  const size = readSafe(bytes, 16);
  const mapping: MappingEntry[] = [];
  for (let at = FIXED_BYTES + builds * ID_BYTES; at < end; at += ENTRY_BYTES) {
    const build = bytes.readUInt32LE(at + 16);
    if (build !== ZEROS && build >= builds) throw malformed("an entry names an unknown build");
    mapping.push({
      offset: readSafe(bytes, at),
      length: readSafe(bytes, at + 8),
      build: build === ZEROS ? undefined : ids[build],
      storageOffset: readSafe(bytes, at + 24),
    });
  }
  validate(mapping, size, BLOCK_BYTES);
  return { size, generation: readSafe(bytes, 24), buildId: readId(bytes, 32), baseBuildId: readId(bytes, 64), mapping };
}

function writeId(bytes: Buffer, at: number, id: string): number {
  if (!/^[\x21-\x7e]{1,32}$/.test(id))
    throw new RangeError(`Cannot write build id ${JSON.stringify(id)}: 1 to 32 ASCII characters`);
  bytes.write(id, at, "latin1");
  return at + ID_BYTES;
}

function readId(bytes: Buffer, at: number): string {
  const id = bytes.toString("latin1", at, at + ID_BYTES).replace(/\0+$/, "");
  if (!/^[\x21-\x7e]{1,32}$/.test(id)) throw malformed("a build id is not ASCII");
  return id;
}

function readSafe(bytes: Buffer, at: number): number {
  const value = bytes.readBigUInt64LE(at);
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw malformed("a number is too large");
  return Number(value);
}

function malformed(why: string): WrennError {
  return new WrennError("incompatible_snapshot", `Cannot read the memory header: ${why}`);
}
