/**
 * Writable disks over immutable bases. qcow2 overlays and device-mapper snapshots implement it; one
 * contract suite (`disk-store-contract.ts`) runs against both.
 *
 * A sealed disk is never written again: whoever goes on writes a new overlay on it.
 */
import { WrennError } from "@wrenn/errors";

/** An immutable disk image that others build on: a template's root file system or a sealed disk. */
export interface DiskBase {
  path: string;
  /** `dm-snapshot`: the CoW file of a device-mapper snapshot. */
  format: "raw" | "qcow2" | "dm-snapshot";
  /** What `path` itself reads through to, nearest first. */
  backingPaths: readonly string[];
}

/** A disk that one VM writes. */
export interface Disk {
  id: string;
  /** The file that keeps what is written. */
  path: string;
  /** The block device that the VMM opens, raw; without one it opens `path`. */
  device?: string;
  format: "raw" | "qcow2" | "dm-snapshot";
  backingPaths: readonly string[];
}

/** Keeps the disks of the sandboxes of one host. */
export interface DiskStore {
  readonly kind: "qcow2" | "device-mapper";
  /**
   * Makes an overlay on `base` in `directory`, named by `id`, owned by `uid`. It never moves: others name it
   * by its path.
   * @throws WrennError `storage_full`, `already_exists`
   */
  create(
    options: { id: string; directory: string; base: DiskBase; sizeBytes: number; uid: number },
    signal: AbortSignal,
  ): Promise<Disk>;
  /** Flushes the disk of a paused VM and says what others can build on, once the VM writes it no more. */
  seal(disk: Disk, signal: AbortSignal): Promise<DiskBase>;
  /**
   * Seals a copy of what a paused VM's disk holds, sharing its blocks where files can; the VM goes on writing
   * its own. Stores without it have VMs switched to a new overlay instead (`VirtualMachine.switchDisk`).
   */
  sealCopy?(disk: Disk, target: { id: string; directory: string }, signal: AbortSignal): Promise<DiskBase>;
  /** Makes a sealed disk read-only and lets its device go, when no VM writes it any more; repeating is success. Runs on its own deadline. */
  lock(base: DiskBase): Promise<void>;
  /**
   * Writes what a sealed disk holds beyond `onto`, one of its backing paths or none, as one new sealed disk
   * in `directory`, named by `id` and flushed. The old ones stay.
   */
  collapse(
    base: DiskBase,
    options: { id: string; directory: string; onto: DiskBase | undefined },
    signal: AbortSignal,
  ): Promise<DiskBase>;
  /** Lets the device of a disk go whose VM has ended; the file stays. Repeating is success. Runs on its own deadline. */
  detach(disk: Pick<Disk, "path">): Promise<void>;
  /** For the start of an agent: lets the devices go that an earlier one left for disks below `directory`, all but those `inUse`. */
  sweep(directory: string, inUse: readonly Pick<Disk, "path">[]): Promise<void>;
  /** Removes a disk; a missing one is success. Runs on its own deadline. */
  remove(disk: Pick<Disk, "path">): Promise<void>;
  /** Allocated bytes of the disk itself, without its bases. */
  usage(disk: Pick<Disk, "path">): Promise<number>;
  /**
   * Reads a sealed disk's own structures.
   * @throws WrennError `incompatible_snapshot` when they are damaged
   */
  check(base: DiskBase, signal: AbortSignal): Promise<void>;
}

/** What a VMM is told of a disk: its block device alone, or its file and what that reads through to. */
export function placementOf(disk: Disk): { diskPath: string; diskBackingPaths: readonly string[] } {
  return disk.device === undefined
    ? { diskPath: disk.path, diskBackingPaths: disk.backingPaths }
    : { diskPath: disk.device, diskBackingPaths: [] };
}

/** @throws WrennError `incompatible_snapshot` when a base was made by a store of another kind */
export function requireFormat(base: DiskBase, known: readonly DiskBase["format"][], kind: DiskStore["kind"]): void {
  if (known.includes(base.format)) return;
  throw new WrennError("incompatible_snapshot", `Cannot use the disk ${base.path}: it is ${base.format}`, {
    hint: `This host keeps disks as ${kind}; WRENN_DISKS=${kind === "qcow2" ? "device-mapper" : "qcow2"} is for the others`,
  });
}
