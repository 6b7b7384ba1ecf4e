/** Whether everything that a layer needs is there and as it was when it was committed. */
import { stat } from "node:fs/promises";
import { basename, dirname } from "node:path";
import { WrennError } from "@wrenn/errors";
import type { DiskStore } from "../disk/disk-store.ts";
import type { Pager } from "../pager/pager.ts";
import { checksumOfDisk, checksumOfFile } from "./checksum.ts";
import { findLayer, headerPathOf, statePathOf, type Layer } from "./layer.ts";

/** One file that was read, and what is wrong with it; nothing unless told. */
export interface VerifiedFile {
  path: string;
  bytes: number;
  problem?: string;
}

/** Reads all files of a layer: its own, its ancestors' memory and its disk chain. Never throws for damage, only when it could not read all in time. */
export async function verifyLayer(
  layer: Layer,
  tools: { pager: Pager; disks: DiskStore },
  signal: AbortSignal,
): Promise<VerifiedFile[]> {
  const { memory, disk } = layer.meta;
  const checks: Promise<VerifiedFile>[] = [];
  if (memory !== undefined) {
    checks.push(verifyFile(statePathOf(layer.directory), memory.stateChecksum));
    for (const path of Object.values(memory.builds)) checks.push(verifyMemory(path, layer, tools.pager, signal));
  }
  checks.push(...disk.backingPaths.map((path) => verifyFile(path, undefined)));
  checks.push(
    verifyChecksum(disk.path, disk.checksum, (path) => checksumOfDisk(disk.format, path)),
    reported(disk.path, async () => {
      await tools.disks.check(disk, signal);
    }),
  );
  return await Promise.all(checks);
}

async function verifyMemory(path: string, layer: Layer, pager: Pager, signal: AbortSignal): Promise<VerifiedFile> {
  return await reported(path, async () => {
    // A build whose own description went with its directory's other files still has to have its length.
    const owner = dirname(path) === layer.directory ? layer : await findLayer(dirname(path));
    if (owner === undefined)
      throw new WrennError("incompatible_snapshot", `${basename(dirname(path))} is not a committed layer`);
    const checksum = owner.meta.memory?.checksum;
    await pager.verify(
      { header: headerPathOf(owner.directory), memory: path, ...(checksum === undefined ? {} : { checksum }) },
      signal,
    );
  });
}

async function verifyFile(path: string, checksum: string | undefined): Promise<VerifiedFile> {
  return await verifyChecksum(path, checksum, checksumOfFile);
}

async function verifyChecksum(
  path: string,
  checksum: string | undefined,
  read: (path: string) => Promise<string>,
): Promise<VerifiedFile> {
  return await reported(path, async () => {
    if (checksum === undefined) return;
    const found = await read(path);
    if (found !== checksum)
      throw new WrennError("incompatible_snapshot", `its checksum is ${found}, it was ${checksum}`);
  });
}

async function reported(path: string, check: () => Promise<void>): Promise<VerifiedFile> {
  try {
    const { blocks } = await stat(path);
    await check();
    return { path, bytes: blocks * 512 };
  } catch (thrown) {
    const error = WrennError.from(thrown);
    // Not read to its end is neither whole nor damaged.
    if (error.code === "timeout" || error.code === "canceled") throw error;
    return { path, bytes: 0, problem: error.message };
  }
}
