/**
 * Writable disks over immutable bases. qcow2 overlays and device-mapper snapshots implement it; one
 * contract suite (`disk-store-contract.ts`) runs against both.
 *
 * A sealed disk is never written again: whoever goes on writes a new overlay on it.
 */

/** An immutable disk image that others build on: a template's root file system or a sealed disk. */
export interface DiskBase {
  path: string;
  format: "raw" | "qcow2";
  /** What `path` itself reads through to, nearest first. */
  backingPaths: readonly string[];
}

/** A disk that one VM writes. */
export interface Disk {
  id: string;
  /** What the VMM opens. */
  path: string;
  format: "raw" | "qcow2";
  backingPaths: readonly string[];
}

/** Keeps the disks of the sandboxes of one host. */
export interface DiskStore {
  readonly kind: "qcow2" | "device-mapper";
  /**
   * Makes an empty overlay on `base` in `directory`, owned by `uid`.
   * @throws WrennError `storage_full`, `already_exists`
   */
  create(
    options: { id: string; directory: string; base: DiskBase; sizeBytes: number; uid: number },
    signal: AbortSignal,
  ): Promise<Disk>;
  /**
   * Puts the disk of a paused VM into `layerDirectory`, flushed. Until the layer is committed the VM may
   * go on writing; then `lock` is called, when the VM is gone.
   */
  seal(disk: Disk, layerDirectory: string, signal: AbortSignal): Promise<DiskBase>;
  /** Makes a sealed disk read-only; repeating is success. Runs on its own deadline. */
  lock(base: DiskBase): Promise<void>;
  /** Removes a disk; a missing one is success. What was sealed stays. Runs on its own deadline. */
  remove(disk: Pick<Disk, "path">): Promise<void>;
  /** Allocated bytes of the disk itself, without its bases. */
  usage(disk: Pick<Disk, "path">): Promise<number>;
}
