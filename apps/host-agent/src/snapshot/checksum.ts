/** CRC-32 of files: finds damage, not forgery. */
import { createReadStream } from "node:fs";
import { open } from "node:fs/promises";
import { crc32 } from "node:zlib";
import { run } from "@wrenn/effects";
import type { DiskBase } from "../disk/disk-store.ts";
import { usedStoreBytes } from "../disk/device-mapper/exception-store.ts";

const CHUNK_BYTES = 1024 * 1024;
const BLOCK_BYTES = 4096;
const NOTHING = Buffer.alloc(BLOCK_BYTES);

/** @returns `crc32:` and eight hex digits, over every byte of the file */
export async function checksumOfFile(path: string): Promise<string> {
  return await checksumOfStart(path, undefined);
}

/**
 * The checksum of a sealed disk's own file, without reading what is not there: of a CoW file up to its last
 * chunk in use, of a raw one the blocks that are not zeros, each with its place.
 * @param path where the file is now
 */
export async function checksumOfDisk(format: DiskBase["format"], path: string): Promise<string> {
  switch (format) {
    case "qcow2":
      return await checksumOfFile(path);
    case "dm-snapshot": {
      const file = await open(path, "r");
      try {
        return await checksumOfStart(path, await usedStoreBytes(file, path));
      } finally {
        await file.close();
      }
    }
    case "raw":
      return await checksumOfBlocks(path);
  }
}

async function checksumOfStart(path: string, bytes: number | undefined): Promise<string> {
  let sum = 0;
  const range = bytes === undefined ? {} : { end: bytes - 1 };
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES, ...range }) as AsyncIterable<Buffer>)
    sum = crc32(chunk, sum);
  return told(sum);
}

async function checksumOfBlocks(path: string): Promise<string> {
  let sum = 0;
  const place = Buffer.alloc(8);
  for (const { start, length } of await dataOf(path)) {
    const options = { start, end: start + length - 1, highWaterMark: CHUNK_BYTES };
    let at = start;
    for await (const chunk of createReadStream(path, options) as AsyncIterable<Buffer>) {
      for (let offset = 0; offset < chunk.length; offset += BLOCK_BYTES, at += BLOCK_BYTES) {
        const block = chunk.subarray(offset, offset + BLOCK_BYTES);
        if (block.equals(NOTHING.subarray(0, block.length))) continue;
        place.writeBigUInt64LE(BigInt(at));
        sum = crc32(block, crc32(place, sum));
      }
    }
  }
  return told(sum);
}

/** The parts of a file that are no holes; Node cannot seek for them. */
async function dataOf(path: string): Promise<{ start: number; length: number }[]> {
  const { stdout } = await run(["qemu-img", "map", "--output=json", "-f", "raw", path]);
  const parts = JSON.parse(stdout) as { start: number; length: number; data: boolean }[];
  return parts.filter(({ data }) => data);
}

const told = (sum: number): string => `crc32:${sum.toString(16).padStart(8, "0")}`;
