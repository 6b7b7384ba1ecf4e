/**
 * Rewriting layers behind a sandbox: many generations joined into one over the same image (collapse), or
 * everything into a whole memory and disk (flatten). What is rewritten stays; the result is a layer of its
 * own that holds the same memory and disk, byte for byte.
 */
import { join } from "node:path";
import { copyFile, hardLink, remove } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { DiskBase, DiskStore } from "../disk/disk-store.ts";
import type { Pager } from "../pager/pager.ts";
import { beginLayer, commitLayer, describeMemory } from "./commit-layer.ts";
import { guestMemoryOf, headerPathOf, memoryPathOf, statePathOf, type Layer, type LayerMemory } from "./layer.ts";

/** Where the rewritten layer goes. */
export interface RewriteTarget {
  buildId: string;
  /** Directory that the layer becomes an entry of. */
  parent: string;
  /** Directory of its disk, and the disk's name there. */
  diskDirectory: string;
  diskId: string;
}

export interface RewriteTools {
  pager: Pager;
  disks: DiskStore;
}

/**
 * Joins a layer and all below it, down to the image that a VM maps, into one of generation 1; and its disk
 * chain down to `diskBase`, one of its backing paths.
 */
export async function collapseLayer(
  layer: Layer,
  target: RewriteTarget,
  diskBase: DiskBase,
  tools: RewriteTools,
  signal: AbortSignal,
): Promise<Layer> {
  return await rewrite(
    layer,
    target,
    diskBase,
    tools,
    async (temporary, directory) => {
      const layers = guestMemoryOf(layer);
      const memory = memoryPathOf(temporary);
      const header = headerPathOf(temporary);
      const made = await tools.pager.collapse({ buildId: target.buildId, memory, header }, layers.layers, signal);
      return await describeMemory(temporary, directory, made, layers);
    },
    signal,
  );
}

/**
 * Makes a layer of generation 0 that needs no other: its memory is whole. Its disk lies on `diskBase`, one
 * of its backing paths, or, without one, on nothing.
 */
export async function flattenLayer(
  layer: Layer,
  target: RewriteTarget,
  diskBase: DiskBase | undefined,
  tools: RewriteTools,
  signal: AbortSignal,
): Promise<Layer> {
  return await rewrite(
    layer,
    target,
    diskBase,
    tools,
    async (temporary, directory) => {
      const from = guestMemoryOf(layer);
      const memory = memoryPathOf(temporary);
      const header = headerPathOf(temporary);
      const made = await tools.pager.flatten({ buildId: target.buildId, memory, header }, from.layers, signal);
      const described = await describeMemory(temporary, directory, made, from);
      return { ...described, image: memoryPathOf(directory), accumulatedBytes: 0 };
    },
    signal,
  );
}

async function rewrite(
  layer: Layer,
  { buildId, parent, diskDirectory, diskId }: RewriteTarget,
  diskBase: DiskBase | undefined,
  { disks }: RewriteTools,
  writeMemory: (temporary: string, directory: string) => Promise<LayerMemory>,
  signal: AbortSignal,
): Promise<Layer> {
  const { meta } = layer;
  const temporary = await beginLayer(parent, buildId);
  let disk: DiskBase | undefined;
  try {
    await linkOrCopy(statePathOf(layer.directory), statePathOf(temporary));
    const memory = await writeMemory(temporary, join(parent, buildId));
    disk =
      meta.disk.path === diskBase?.path
        ? meta.disk
        : await disks.collapse(meta.disk, { id: diskId, directory: diskDirectory, onto: diskBase }, signal);
    signal.throwIfAborted();
    const { shape, compatibility } = meta;
    return await commitLayer({ temporary, parent, buildId, shape, compatibility, memory, disk });
  } catch (error) {
    await remove(temporary, "rewrite.abandon");
    if (disk !== undefined && disk !== meta.disk) await disks.remove(disk);
    throw error;
  }
}

/** Immutable files may have several names; on another file system there is a copy. */
async function linkOrCopy(from: string, to: string): Promise<void> {
  try {
    await hardLink(from, to, "rewrite.link");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EXDEV") throw error;
    await copyFile(from, to, "rewrite.copy");
  }
}

/**
 * The disk of a chain as a base of its own.
 * @param path the disk itself or one of its backing paths
 * @throws WrennError `internal` when it is neither
 */
export function baseOf(disk: DiskBase, path: string): DiskBase {
  const chain = [disk.path, ...disk.backingPaths];
  const at = chain.indexOf(path);
  if (at < 0) throw new WrennError("internal", `Cannot use ${path} as a base: ${disk.path} does not lie on it`);
  return { path, format: formatOf(path), backingPaths: chain.slice(at + 1) };
}

/** Every store names its files so. */
function formatOf(path: string): DiskBase["format"] {
  if (path.endsWith(".cow")) return "dm-snapshot";
  return path.endsWith(".qcow2") ? "qcow2" : "raw";
}
