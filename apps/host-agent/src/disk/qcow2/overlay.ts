/**
 * An empty qcow2 overlay, written directly: four clusters, no process to spawn.
 * Format: https://www.qemu.org/docs/master/interop/qcow2.html (version 3).
 */
import type { DiskBase } from "../disk-store.ts";

const CLUSTER_BITS = 16;
const CLUSTER_BYTES = 1 << CLUSTER_BITS;
const HEADER_BYTES = 104;
const BACKING_FORMAT_EXTENSION = 0xe2792aca;
/** Bytes of disk that one entry of the first-level table covers: 8192 clusters. */
const BYTES_PER_L1_ENTRY = CLUSTER_BYTES * (CLUSTER_BYTES / 8);
/** One cluster of the first-level table. */
export const MAX_DISK_BYTES = BYTES_PER_L1_ENTRY * (CLUSTER_BYTES / 8);

/** The bytes of an overlay of `sizeBytes` on `base`. */
export function emptyOverlay(base: Pick<DiskBase, "path" | "format">, sizeBytes: number): Buffer {
  const image = Buffer.alloc(4 * CLUSTER_BYTES);
  const [refcountTable, refcountBlock, l1Table] = [CLUSTER_BYTES, 2 * CLUSTER_BYTES, 3 * CLUSTER_BYTES];
  const backingPath = Buffer.from(base.path, "utf8");
  const backingFormat = Buffer.from(base.format, "utf8");

  image.write("QFI\xfb", 0, "latin1");
  image.writeUInt32BE(3, 4);
  image.writeUInt32BE(backingPath.length, 16);
  image.writeUInt32BE(CLUSTER_BITS, 20);
  image.writeBigUInt64BE(BigInt(sizeBytes), 24);
  image.writeUInt32BE(Math.ceil(sizeBytes / BYTES_PER_L1_ENTRY), 36);
  image.writeBigUInt64BE(BigInt(l1Table), 40);
  image.writeBigUInt64BE(BigInt(refcountTable), 48);
  image.writeUInt32BE(1, 56); // clusters of the refcount table
  image.writeUInt32BE(4, 96); // refcounts of 2^4 bits
  image.writeUInt32BE(HEADER_BYTES, 100);

  let at = HEADER_BYTES;
  image.writeUInt32BE(BACKING_FORMAT_EXTENSION, at);
  image.writeUInt32BE(backingFormat.length, at + 4);
  backingFormat.copy(image, at + 8);
  at += 8 + Math.ceil(backingFormat.length / 8) * 8;
  at += 8; // the end-of-extensions marker is all zeros
  backingPath.copy(image, at);
  image.writeBigUInt64BE(BigInt(at), 8);

  image.writeBigUInt64BE(BigInt(refcountBlock), refcountTable);
  for (let cluster = 0; cluster < 4; cluster++) image.writeUInt16BE(1, refcountBlock + 2 * cluster);
  return image;
}
