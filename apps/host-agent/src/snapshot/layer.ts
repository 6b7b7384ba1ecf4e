/**
 * A layer on disk: an immutable directory `{vmstate, mem, mem.header, disk.qcow2, meta.json}`, written
 * under a temporary name and made visible by one rename, the commit.
 */
import { chmod, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { publishDirectory, remove, writeFileAtomic } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { DiskBase } from "../disk/disk-store.ts";
import type { Capture, MachineShape, MemoryChanges } from "../vmm/vmm.ts";
import { decodeHeader, encodeHeader } from "./header.ts";
import { overlay, runsBeyond, wholeMapping } from "./mapping.ts";

/** What a layer says of itself. */
export interface LayerMeta {
  version: 1;
  buildId: string;
  shape: MachineShape;
  /** Must equal the VMM's and the guest's for the state to be loaded. */
  compatibility: Readonly<Record<string, string>>;
  /** The sealed disk; paths inside the state directory. */
  disk: DiskBase;
  /** The whole memory image that this layer's pages lie over; itself for a whole one. */
  basePath: string;
  createdAt: string;
}

export interface Layer {
  directory: string;
  meta: LayerMeta;
}

export const statePathOf = (directory: string): string => join(directory, "vmstate");
export const memoryPathOf = (directory: string): string => join(directory, "mem");
const headerPathOf = (directory: string): string => join(directory, "mem.header");
const metaPathOf = (directory: string): string => join(directory, "meta.json");

/** Makes the empty directory in which a layer is written. */
export async function beginLayer(parent: string, buildId: string): Promise<string> {
  const directory = join(parent, `tmp.${buildId}`);
  await remove(directory);
  await mkdir(directory, { recursive: true, mode: 0o711 });
  return directory;
}

/** Completes a layer with its header and meta and commits it by rename. */
export async function commitLayer(
  temporary: string,
  parent: string,
  capture: Capture,
  base: { buildId: string; memoryBytes: number },
  meta: LayerMeta,
): Promise<Layer> {
  const whole = wholeMapping(base.buildId, base.memoryBytes);
  const mapping = capture.runs === undefined ? whole : overlay(whole, meta.buildId, capture.runs);
  const header = encodeHeader({
    size: base.memoryBytes,
    generation: capture.runs === undefined ? 0 : 1,
    buildId: meta.buildId,
    baseBuildId: base.buildId,
    mapping,
  });
  await writeFileAtomic(headerPathOf(temporary), header, { mode: 0o444, name: "layer.header" });
  await chmod(memoryPathOf(temporary), 0o444);
  await writeFileAtomic(metaPathOf(temporary), JSON.stringify(meta, undefined, 2), { mode: 0o444, name: "layer.meta" });
  const directory = join(parent, meta.buildId);
  await publishDirectory(temporary, directory, "layer.publish");
  return { directory, meta };
}

/** @throws WrennError `incompatible_snapshot` when the layer is missing or not readable */
export async function openLayer(directory: string): Promise<Layer> {
  try {
    const meta = JSON.parse(await readFile(metaPathOf(directory), "utf8")) as LayerMeta;
    return { directory, meta };
  } catch (cause) {
    throw new WrennError("incompatible_snapshot", `Cannot open the layer ${directory}`, { cause });
  }
}

/** The pages that this layer puts over its base; undefined for a whole memory. */
export async function changesOf(layer: Layer): Promise<MemoryChanges | undefined> {
  const header = decodeHeader(await readFile(headerPathOf(layer.directory)));
  if (header.baseBuildId === header.buildId) return undefined;
  return { path: memoryPathOf(layer.directory), runs: runsBeyond(header.mapping, header.baseBuildId) };
}

/**
 * Refuses a layer that this host cannot load, before anything is loaded.
 * @throws WrennError `incompatible_snapshot` naming what differs
 */
export function checkCompatibility(layer: Layer, current: Readonly<Record<string, string>>): void {
  const keys = new Set([...Object.keys(layer.meta.compatibility), ...Object.keys(current)]);
  const differing = [...keys].filter((key) => layer.meta.compatibility[key] !== current[key]);
  if (differing.length === 0) return;
  const list = differing.map(
    (key) => `${key} was ${layer.meta.compatibility[key] ?? "absent"}, is ${current[key] ?? "absent"}`,
  );
  throw new WrennError("incompatible_snapshot", `Cannot resume from this snapshot: ${list.join("; ")}`, {
    hint: "Resume it on a host like the one that made it",
  });
}
