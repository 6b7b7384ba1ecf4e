import { gzipSync, zstdCompressSync } from "node:zlib";
import { expect, it } from "vitest";
import { elfOf } from "./kernel-image.ts";

const ELF = Buffer.concat([Buffer.from("\x7fELF"), Buffer.from("a kernel, a kernel, a kernel, a kernel")]);

/** A bzImage of one setup sector with this payload. */
function bzImage(packed: Buffer): Buffer {
  const image = Buffer.alloc(0x1000);
  image[0x1f1] = 1;
  image.writeUInt32LE(0x53726448, 0x202);
  image.writeUInt16LE(0x020f, 0x206);
  const size = Buffer.alloc(4);
  size.writeUInt32LE(ELF.length);
  image.writeUInt32LE(0x1000 - 2 * 512, 0x248);
  image.writeUInt32LE(packed.length + 4, 0x24c);
  return Buffer.concat([image, packed, size]);
}

/** LZ4's legacy frame: 14 literals, then a match that overlaps itself, then 2 literals. */
function lz4(): Buffer {
  const head = ELF.subarray(0, 14); // "\x7fELFa kernel, "
  const sequences = Buffer.concat([
    Buffer.from([(head.length << 4) | 15]),
    head,
    Buffer.from([10, 0]), // "a kernel, " begins ten bytes back
    Buffer.from([ELF.length - head.length - 2 - 4 - 15]),
    Buffer.from([2 << 4]),
    ELF.subarray(-2),
  ]);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(sequences.length);
  return Buffer.concat([Buffer.from([0x02, 0x21, 0x4c, 0x18]), length, sequences]);
}

it.each([
  ["gzip", gzipSync(ELF)],
  ["zstd", zstdCompressSync(ELF)],
  ["lz4", lz4()],
])("unpacks a kernel that is packed with %s", (_name, packed) => {
  expect(elfOf(bzImage(packed), "vmlinuz").equals(ELF)).toBe(true);
});

it("takes a kernel that is not packed as it is", () => {
  expect(elfOf(ELF, "vmlinux")).toBe(ELF);
});

it("refuses what is no kernel, and what is packed in another way", () => {
  expect(() => elfOf(Buffer.alloc(0x2000), "file")).toThrow("no x86 kernel");
  expect(() => elfOf(bzImage(Buffer.from("unknown compression")), "file")).toThrow("not known");
});
