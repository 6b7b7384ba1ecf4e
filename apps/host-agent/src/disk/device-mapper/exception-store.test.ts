import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterEach, beforeEach, expect, it } from "vitest";
import { CHUNK_BYTES, readExceptions, storeBytes, writeStore } from "./exception-store.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-cow-"));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

async function withFile<T>(work: (file: Awaited<ReturnType<typeof open>>) => Promise<T>): Promise<T> {
  const file = await open(join(directory, "store"), "w+");
  try {
    return await work(file);
  } finally {
    await file.close();
  }
}

const chunks = fc.uniqueArray(fc.nat({ max: 2 ** 40 }), { maxLength: 700 });

it("reads the store that it wrote, in order and with its content", async () => {
  await fc.assert(
    fc.asyncProperty(chunks, async (diskChunks) => {
      await withFile(async (file) => {
        await writeStore(file, diskChunks, async (chunk, buffer) => void buffer.fill(chunk % 251));
        const found = await readExceptions(file, "store");
        expect(found.map(({ diskChunk }) => diskChunk)).toEqual(diskChunks);
        const last = found.at(-1);
        if (last === undefined) return;
        const content = Buffer.alloc(CHUNK_BYTES);
        await file.read(content, 0, CHUNK_BYTES, last.storeChunk * CHUNK_BYTES);
        expect(content.equals(Buffer.alloc(CHUNK_BYTES, last.diskChunk % 251))).toBe(true);
      });
    }),
    { numRuns: 15 },
  );
});

it("has room for every chunk of the disk", async () => {
  for (const diskChunks of [1, 255, 256, 257, 1024]) {
    await withFile(async (file) => {
      const all = Array.from({ length: diskChunks }, (_, index) => index);
      await writeStore(file, all, async () => undefined);
      expect((await file.stat()).size).toBeLessThanOrEqual(storeBytes(diskChunks * CHUNK_BYTES));
    });
  }
});

it("takes an empty file for a disk to which nothing was written", async () => {
  await withFile(async (file) => {
    await file.truncate(storeBytes(CHUNK_BYTES));
    expect(await readExceptions(file, "store")).toEqual([]);
  });
});

it.each([
  ["another magic", (header: Buffer) => header.writeUInt32LE(0x12345678, 0), "no exception store"],
  ["given up by the kernel", (header: Buffer) => header.writeUInt32LE(0, 4), "gave it up"],
  ["another chunk size", (header: Buffer) => header.writeUInt32LE(16, 12), "chunk size"],
])("refuses a store with %s", async (_what, damage, reason) => {
  await withFile(async (file) => {
    await writeStore(file, [1, 2, 3], async () => undefined);
    const header = Buffer.alloc(CHUNK_BYTES);
    await file.read(header, 0, CHUNK_BYTES, 0);
    damage(header);
    await file.write(header, 0, CHUNK_BYTES, 0);
    await expect(readExceptions(file, "store")).rejects.toThrow(reason);
  });
});

it("refuses exceptions that lie outside the file, twice, or where there is no data", async () => {
  for (const [diskChunk, storeChunk, reason] of [
    [1n, 100_000n, "said to be at"],
    [2n, 3n, "twice"],
    [9n, 1n, "said to be at"],
  ] as const) {
    await withFile(async (file) => {
      await writeStore(file, [1, 2, 3], async () => undefined);
      const exception = Buffer.alloc(16);
      exception.writeBigUInt64LE(diskChunk, 0);
      exception.writeBigUInt64LE(storeChunk, 8);
      await file.write(exception, 0, 16, CHUNK_BYTES);
      await expect(readExceptions(file, "store")).rejects.toThrow(reason);
    });
  }
});

it("refuses a file that was cut short", async () => {
  await withFile(async (file) => {
    await file.write(Buffer.alloc(100));
    await expect(readExceptions(file, "store")).rejects.toThrow("cut short");
  });
});
