/**
 * The ELF kernel inside a distribution's bzImage, which Firecracker does not unpack itself.
 * Header: https://docs.kernel.org/arch/x86/boot.html (payload_offset, payload_length).
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import { writeFileAtomic } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";

const ELF_MAGIC = 0x464c457f;
const HEADER_MAGIC = 0x53726448; // "HdrS" at 0x202
const PAYLOAD_FIELDS = 0x248;
const PAYLOAD_PROTOCOL = 0x0208;
const SECTOR_BYTES = 512;

/** Where the kernel at `path`, unpacked, is kept in a state directory. */
export const elfKernelPath = (stateDirectory: string, path: string): string =>
  join(stateDirectory, "kernels", `${path.split("/").slice(-2).join("-")}.elf`);

/** Writes the ELF kernel of the bzImage (or ELF) at `path` to `target`, whole or not at all. */
export async function unpackKernel(path: string, target: string): Promise<void> {
  const image = await readFile(path);
  await writeFileAtomic(target, elfOf(image, path), { mode: 0o444, name: "kernel.unpack" });
}

/** @throws WrennError `unsupported` when it is no kernel, or packed in a way that is not known */
export function elfOf(image: Buffer, path: string): Buffer {
  if (image.length > 4 && image.readUInt32LE(0) === ELF_MAGIC) return image;
  if (
    image.length < 0x1000 ||
    image.readUInt32LE(0x202) !== HEADER_MAGIC ||
    image.readUInt16LE(0x206) < PAYLOAD_PROTOCOL
  )
    throw new WrennError("unsupported", `Cannot boot ${path}: it is no x86 kernel`);
  const setupSectors = image[0x1f1] || 4;
  const start = (setupSectors + 1) * SECTOR_BYTES + image.readUInt32LE(PAYLOAD_FIELDS);
  // The last four bytes are the size of what comes out.
  const payload = image.subarray(start, start + image.readUInt32LE(PAYLOAD_FIELDS + 4));
  const elf = decompress(payload);
  if (elf === undefined || elf.length < 4 || elf.readUInt32LE(0) !== ELF_MAGIC)
    throw new WrennError("unsupported", `Cannot boot ${path} with Firecracker: its compression is not known`);
  return elf;
}

function decompress(payload: Buffer): Buffer | undefined {
  const size = payload.readUInt32LE(payload.length - 4);
  const packed = payload.subarray(0, payload.length - 4);
  switch (payload.readUInt32BE(0)) {
    case 0x02214c18:
      return unpackLz4(packed, size);
    case 0x28b52ffd:
      return zstdDecompressSync(packed);
    default:
      return payload.readUInt16BE(0) === 0x1f8b ? gunzipSync(packed) : undefined;
  }
}

/**
 * LZ4's legacy frame: blocks of {length u32, sequences}, each of at most 8 MiB unpacked.
 * https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
 */
function unpackLz4(packed: Buffer, size: number): Buffer {
  const out = Buffer.allocUnsafe(size);
  let written = 0;
  let at = 4;
  while (at + 4 <= packed.length && written < size) {
    const end = at + 4 + packed.readUInt32LE(at);
    at += 4;
    const lengthOf = (nibble: number): number => {
      let length = nibble;
      for (let byte = nibble === 15 ? 255 : 0; byte === 255;) {
        byte = packed[at++] ?? 0;
        length += byte;
      }
      return length;
    };
    while (at < end) {
      const token = packed[at++] as number;
      const literals = lengthOf(token >> 4);
      packed.copy(out, written, at, at + literals);
      written += literals;
      at += literals;
      if (at >= end) break; // the last sequence has no match
      const distance = packed.readUInt16LE(at);
      at += 2;
      const length = lengthOf(token & 15) + 4;
      // Byte by byte where the match overlaps what it writes.
      if (distance >= length) out.copy(out, written, written - distance, written - distance + length);
      else
        for (let index = 0; index < length; index++) out[written + index] = out[written + index - distance] as number;
      written += length;
    }
  }
  return out.subarray(0, written);
}
