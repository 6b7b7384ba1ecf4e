/** What a template build takes on the disk, and whether it is as it was written. */
import { readdir, stat } from "node:fs/promises";
import { join, relative } from "node:path";
import { WrennError } from "@wrenn/errors";
import type { DiskStore } from "../disk/disk-store.ts";
import type { Pager } from "../pager/pager.ts";
import { verifyLayer } from "../snapshot/verify-layer.ts";
import type { TemplateBuilds } from "./template-builds.ts";

const BLOCK_BYTES = 512;

/** Allocated blocks, not lengths: memory and disks are sparse. */
export interface BuildSizes {
  sizeBytes: number;
  /** Of these, what has a name in another sandbox or template too. */
  sharedBytes: number;
}

/** A file that was read. */
export interface CheckedFile {
  /** Within the build. */
  name: string;
  /** Allocated. */
  bytes: number;
  intact: boolean;
}

export async function sizesOf(builds: TemplateBuilds, buildId: string): Promise<BuildSizes> {
  const { root } = builds.paths(buildId);
  const sizes = { sizeBytes: 0, sharedBytes: 0 };
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const { blocks, nlink } = await stat(join(entry.parentPath, entry.name));
    sizes.sizeBytes += blocks * BLOCK_BYTES;
    if (nlink > 1) sizes.sharedBytes += blocks * BLOCK_BYTES;
  }
  return sizes;
}

/**
 * Reads all of a build.
 * @throws WrennError `not_found`
 */
export async function verifyBuild(
  builds: TemplateBuilds,
  buildId: string,
  tools: { pager: Pager; disks: DiskStore },
  signal: AbortSignal,
): Promise<CheckedFile[]> {
  if (builds.find(buildId) === undefined)
    throw new WrennError("not_found", `This host has no template build ${buildId}`);
  const { root } = builds.paths(buildId);
  const files = new Map<string, CheckedFile>();
  const found = await verifyLayer(await builds.layerOf(buildId), tools, signal);
  for (const { path, bytes, problem } of found) {
    const name = relative(root, path);
    const known = files.get(name); // a disk is checked as a file and as a disk
    files.set(name, {
      name,
      bytes: Math.max(bytes, known?.bytes ?? 0),
      intact: problem === undefined && (known?.intact ?? true),
    });
  }
  return [...files.values()];
}
