/** Writing a layer under a temporary name, and the commit: one rename. */
import { chmod, mkdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { publishDirectory, remove, writeFileAtomic } from "@wrenn/effects";
import type { DiskBase } from "../disk/disk-store.ts";
import type { Pager } from "../pager/pager.ts";
import type { LayerSummary } from "../pager/pager-requests.ts";
import type { GuestMemory, MachineShape } from "../vmm/vmm.ts";
import { checksumOfDisk, checksumOfFile } from "./checksum.ts";
import { decodeHeader, encodeHeader } from "./header.ts";
import {
  headerPathOf,
  memoryPathOf,
  metaPathOf,
  SNAPSHOT_FORMAT,
  statePathOf,
  type Layer,
  type LayerMemory,
  type LayerMeta,
} from "./layer.ts";
import { bytesBeyond, wholeMapping } from "./mapping.ts";

/** What a layer is committed with. */
export interface LayerParts {
  /** The directory from `beginLayer`, with `vmstate`, `mem` and `mem.header` in it unless there is no memory. */
  temporary: string;
  /** The directory that the layer becomes an entry of. */
  parent: string;
  buildId: string;
  shape: MachineShape;
  compatibility: Readonly<Record<string, string>>;
  memory: LayerMemory | undefined;
  disk: DiskBase;
  /** Where the disk is until the commit, when that moves it. */
  diskFile?: string;
}

/** Makes the empty directory in which a layer is written. */
export async function beginLayer(parent: string, buildId: string): Promise<string> {
  const directory = join(parent, `tmp.${buildId}`);
  await remove(directory, "layer.begin");
  await mkdir(directory, { recursive: true, mode: 0o711 });
  return directory;
}

/**
 * Describes the memory of a layer over `parent`, written in `temporary` and to be committed below
 * `directory`.
 */
export async function describeMemory(
  temporary: string,
  directory: string,
  summary: LayerSummary,
  parent: GuestMemory,
): Promise<LayerMemory> {
  const { mapping, baseBuildId } = decodeHeader(await readFile(headerPathOf(temporary)));
  const paths: Record<string, string> = { ...parent.layers.builds, [summary.buildId]: memoryPathOf(directory) };
  const named = new Set(mapping.flatMap(({ build }) => build ?? []));
  named.add(baseBuildId); // mapped by the VM, even where no page of it is left
  return {
    image: parent.image,
    builds: Object.fromEntries([...named].map((build) => [build, paths[build] as string])),
    checksum: summary.checksum,
    stateChecksum: await checksumOfFile(statePathOf(temporary)),
    dataBytes: summary.dataBytes,
    zeroBytes: summary.zeroBytes,
    accumulatedBytes: bytesBeyond(mapping, baseBuildId),
  };
}

/** Describes a whole memory, written in `temporary`: a generation 0 of its own. */
export async function describeWholeMemory(
  temporary: string,
  directory: string,
  buildId: string,
  pager: Pager,
  signal: AbortSignal,
): Promise<LayerMemory> {
  const memory = memoryPathOf(temporary);
  const { size } = await stat(memory);
  const mapping = wholeMapping(buildId, size);
  const header = encodeHeader({ size, generation: 0, buildId, baseBuildId: buildId, mapping });
  await writeFileAtomic(headerPathOf(temporary), header, { mode: 0o444, name: "layer.header", durable: false });
  const { checksum } = await pager.verify({ header: headerPathOf(temporary), memory }, signal);
  const image = memoryPathOf(directory);
  return {
    image,
    builds: { [buildId]: image },
    checksum,
    stateChecksum: await checksumOfFile(statePathOf(temporary)),
    dataBytes: (await stat(memory)).blocks * 512,
    zeroBytes: 0,
    accumulatedBytes: 0,
  };
}

/** Completes a layer with its meta, flushes everything and commits it by rename. */
export async function commitLayer(parts: LayerParts): Promise<Layer> {
  const { temporary, parent, buildId, shape, compatibility, memory, disk, diskFile = disk.path } = parts;
  if (memory !== undefined) await chmod(memoryPathOf(temporary), 0o444);
  const meta: LayerMeta = {
    version: SNAPSHOT_FORMAT,
    buildId,
    generation: memory === undefined ? 0 : decodeHeader(await readFile(headerPathOf(temporary))).generation,
    shape,
    compatibility,
    ...(memory === undefined ? {} : { memory }),
    disk: { ...disk, checksum: await checksumOfDisk(disk.format, diskFile) },
    createdAt: new Date().toISOString(),
  };
  const text = JSON.stringify(meta, undefined, 2);
  await writeFileAtomic(metaPathOf(temporary), text, { mode: 0o444, name: "layer.meta", durable: false });
  const directory = join(parent, buildId);
  await publishDirectory(temporary, directory, "layer.publish");
  return { directory, meta };
}
