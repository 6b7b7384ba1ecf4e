/**
 * Disks as qcow2 overlays: one file per run of a sandbox, on sealed ones, on the template's image.
 */
import { chmod, chown, open, stat } from "node:fs/promises";
import { join } from "node:path";
import { flush, hardLink, remove } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { Disk, DiskBase, DiskStore } from "../disk-store.ts";
import { emptyOverlay, MAX_DISK_BYTES } from "./overlay.ts";

const DISK_NAME = "disk.qcow2";

export class Qcow2Store implements DiskStore {
  readonly kind = "qcow2";

  async create(
    options: { id: string; directory: string; base: DiskBase; sizeBytes: number; uid: number },
    signal: AbortSignal,
  ): Promise<Disk> {
    const { id, directory, base, sizeBytes, uid } = options;
    signal.throwIfAborted();
    if (sizeBytes > MAX_DISK_BYTES) {
      throw new WrennError("invalid_request", `Cannot make a disk of ${sizeBytes} bytes: at most ${MAX_DISK_BYTES}`);
    }
    const path = join(directory, DISK_NAME);
    try {
      const file = await open(path, "wx", 0o600);
      try {
        await file.writeFile(emptyOverlay(base, sizeBytes));
      } finally {
        await file.close();
      }
      await chown(path, uid, uid);
    } catch (cause) {
      const { code } = cause as NodeJS.ErrnoException;
      if (code === "EEXIST")
        throw new WrennError("already_exists", `Cannot make disk ${id}: ${path} exists`, { cause });
      await remove(path);
      throw cause;
    }
    return { id, path, format: "qcow2", backingPaths: [base.path, ...base.backingPaths] };
  }

  /**
   * The layer gets a second name of the file: the VM, paused, may still have it open, and goes on
   * writing it if the commit fails. It is read-only from the commit on, when the VM is gone.
   */
  async seal(disk: Disk, layerDirectory: string, signal: AbortSignal): Promise<DiskBase> {
    signal.throwIfAborted();
    const sealed = join(layerDirectory, DISK_NAME);
    await flush(disk.path, "seal.disk");
    await hardLink(disk.path, sealed, "seal.link");
    return { path: sealed, format: disk.format, backingPaths: disk.backingPaths };
  }

  async lock(base: DiskBase): Promise<void> {
    await chown(base.path, 0, 0);
    await chmod(base.path, 0o444);
  }

  async remove(disk: Pick<Disk, "path">): Promise<void> {
    await remove(disk.path, "disk.remove");
  }

  async usage(disk: Pick<Disk, "path">): Promise<number> {
    return (await stat(disk.path)).blocks * 512;
  }
}
