/**
 * A layer on disk: an immutable directory `{vmstate, mem, mem.header, meta.json}`, named by its build id,
 * and a sealed disk beside it that never moves. `meta.json` names every file that the layer needs, so
 * that whoever holds the layer holds all of it. docs/reference/snapshots.md describes the format.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/errors";
import type { DiskBase } from "../disk/disk-store.ts";
import type { GuestMemory, MachineShape } from "../vmm/vmm.ts";

/** Part of every compatibility key: layers of another format are refused. */
export const SNAPSHOT_FORMAT = 2;

/** What a layer says of itself. */
export interface LayerMeta {
  version: typeof SNAPSHOT_FORMAT;
  buildId: string;
  /** How many layers are below this one; 0 for a whole memory. */
  generation: number;
  shape: MachineShape;
  /** Must equal the VMM's and the guest's for the state to be loaded. */
  compatibility: Readonly<Record<string, string>>;
  /** The memory; absent when only the disk was kept. */
  memory?: LayerMemory;
  disk: LayerDisk;
  /** ISO 8601. */
  createdAt: string;
}

/** The memory of a layer; paths are absolute. */
export interface LayerMemory {
  /** The nearest flat ancestor: the whole memory that a VM maps. */
  image: string;
  /** The memory file of every build that the header names, the image and the layer's own among them. */
  builds: Readonly<Record<string, string>>;
  /** `crc32:` of the layer's own memory file, as the pager computes it. */
  checksum: string;
  /** `crc32:` of the device state. */
  stateChecksum: string;
  /** Bytes of the layer's own pages, and of those that are zeros now. */
  dataBytes: number;
  zeroBytes: number;
  /** Bytes of all layers beyond the image: what a resume puts in, and the next pause compares. */
  accumulatedBytes: number;
}

/** A sealed disk and what is known of its bytes. */
export interface LayerDisk extends DiskBase {
  /** `crc32:` of the file at `path`. */
  checksum: string;
}

export interface Layer {
  directory: string;
  meta: LayerMeta;
}

export const statePathOf = (directory: string): string => join(directory, "vmstate");
export const memoryPathOf = (directory: string): string => join(directory, "mem");
export const headerPathOf = (directory: string): string => join(directory, "mem.header");
export const metaPathOf = (directory: string): string => join(directory, "meta.json");

/** @throws WrennError `incompatible_snapshot` when the layer is missing, not readable or of another format */
export async function openLayer(directory: string): Promise<Layer> {
  let meta: LayerMeta | { version: number };
  try {
    meta = JSON.parse(await readFile(metaPathOf(directory), "utf8")) as LayerMeta | { version: number };
  } catch (cause) {
    throw new WrennError("incompatible_snapshot", `Cannot open the layer ${directory}`, { cause });
  }
  if (!isCurrent(meta)) {
    throw new WrennError(
      "incompatible_snapshot",
      `Cannot open the layer ${directory}: its format is ${meta.version}, not ${SNAPSHOT_FORMAT}`,
    );
  }
  return { directory, meta };
}

const isCurrent = (meta: LayerMeta | { version: number }): meta is LayerMeta => meta.version === SNAPSHOT_FORMAT;

/** `openLayer`, or undefined when no layer was committed there. */
export async function findLayer(directory: string): Promise<Layer | undefined> {
  return await openLayer(directory).catch(() => undefined);
}

/**
 * The memory that a VM is restored with.
 * @throws WrennError `incompatible_snapshot` for a layer of a disk alone
 */
export function guestMemoryOf({ directory, meta }: Layer): GuestMemory {
  const { memory } = meta;
  if (memory === undefined) {
    throw new WrennError("incompatible_snapshot", `Cannot resume from the layer ${meta.buildId}: it has no memory`, {
      hint: COLD_BOOT_HINT,
    });
  }
  return { image: memory.image, layers: { header: headerPathOf(directory), builds: memory.builds } };
}

const COLD_BOOT_HINT = "Boot it from its disk instead, without what was in memory: resume with --cold";

/** What a host can load. */
export interface Loadable {
  /** Must be equal. */
  compatibility: Readonly<Record<string, string>>;
  /** Builds of its VMM, each of which loads what it wrote: what `compatibility.vmm` may be instead. */
  builds: ReadonlySet<string>;
}

/** The VMM's build that wrote the state of a layer, and is the one to load it. */
export const buildOf = ({ meta }: Layer): string => meta.compatibility["vmm"] ?? "unknown";

/**
 * Refuses a layer that this host cannot load, before anything is loaded.
 * @throws WrennError `incompatible_snapshot` naming what differs
 */
export function checkCompatibility(layer: Layer, { compatibility, builds }: Loadable): void {
  const current = builds.has(buildOf(layer)) ? { ...compatibility, vmm: buildOf(layer) } : compatibility;
  const keys = new Set([...Object.keys(layer.meta.compatibility), ...Object.keys(current)]);
  const differing = [...keys].filter((key) => layer.meta.compatibility[key] !== current[key]);
  if (differing.length === 0) return;
  const list = differing.map(
    (key) => `${key} was ${layer.meta.compatibility[key] ?? "absent"}, is ${current[key] ?? "absent"}`,
  );
  throw new WrennError("incompatible_snapshot", `Cannot resume from this snapshot: ${list.join("; ")}`, {
    hint: COLD_BOOT_HINT,
  });
}
