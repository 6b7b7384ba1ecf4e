/** CRC-32 of files: finds damage, not forgery. */
import { createReadStream } from "node:fs";
import { crc32 } from "node:zlib";

const CHUNK_BYTES = 1024 * 1024;

/** @returns `crc32:` and eight hex digits, over every byte of the file */
export async function checksumOfFile(path: string): Promise<string> {
  let sum = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES }) as AsyncIterable<Buffer>)
    sum = crc32(chunk, sum);
  return `crc32:${sum.toString(16).padStart(8, "0")}`;
}
