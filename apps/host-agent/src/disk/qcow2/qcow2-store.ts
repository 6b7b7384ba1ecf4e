/**
 * Disks as qcow2 overlays: one file per run of a sandbox, on sealed ones, on the template's image.
 */
import { chmod, chown, open, stat } from "node:fs/promises";
import { join } from "node:path";
import { copyFile, failpoint, flush, remove, rename, run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { requireFormat, type Disk, type DiskBase, type DiskStore } from "../disk-store.ts";
import { emptyOverlay, MAX_DISK_BYTES } from "./overlay.ts";

/** Longest that joining a chain may take. */
const REWRITE_DEADLINE_MS = 1_800_000;

export class Qcow2Store implements DiskStore {
  readonly kind = "qcow2";

  async create(
    options: { id: string; directory: string; base: DiskBase; sizeBytes: number; uid: number },
    signal: AbortSignal,
  ): Promise<Disk> {
    const { id, directory, base, sizeBytes, uid } = options;
    signal.throwIfAborted();
    requireFormat(base, ["raw", "qcow2"], this.kind);
    if (sizeBytes > MAX_DISK_BYTES) {
      throw new WrennError("invalid_request", `Cannot make a disk of ${sizeBytes} bytes: at most ${MAX_DISK_BYTES}`);
    }
    const path = join(directory, `${id}.qcow2`);
    try {
      failpoint("disk.create");
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

  async seal(disk: Disk, signal: AbortSignal): Promise<DiskBase> {
    signal.throwIfAborted();
    await flush(disk.path, "seal.disk");
    return { path: disk.path, format: disk.format, backingPaths: disk.backingPaths };
  }

  async lock(base: DiskBase): Promise<void> {
    await chown(base.path, 0, 0);
    await chmod(base.path, 0o444);
  }

  /**
   * An overlay on `onto` is empty of what lies below; `qemu-img` copies into it the clusters that the chain
   * has above. Without `onto` the whole disk is written, without its zeros.
   */
  async collapse(
    base: DiskBase,
    { id, directory, onto }: { id: string; directory: string; onto: DiskBase | undefined },
    signal: AbortSignal,
  ): Promise<DiskBase> {
    const path = join(directory, `${id}.qcow2`);
    const temporary = join(directory, `.${id}.tmp`);
    await remove(temporary, "collapse.scratch");
    try {
      failpoint("collapse.disk");
      const options = { signal, timeoutMs: REWRITE_DEADLINE_MS };
      if (onto === undefined) {
        await run(["qemu-img", "convert", "-f", base.format, "-O", "qcow2", base.path, temporary], options);
      } else {
        await copyFile(base.path, temporary, "collapse.disk.copy");
        await chmod(temporary, 0o600);
        // Clusters that differ between the old backing and the new one come into the copy.
        await run(["qemu-img", "rebase", "-f", "qcow2", "-b", onto.path, "-F", onto.format, temporary], options);
      }
      await chmod(temporary, 0o444);
      await flush(temporary, "collapse.disk.fsync");
      await rename(temporary, path, "collapse.disk");
    } catch (error) {
      await remove(temporary, "collapse.scratch");
      throw error;
    }
    return { path, format: "qcow2", backingPaths: onto === undefined ? [] : [onto.path, ...onto.backingPaths] };
  }

  async check(base: DiskBase, signal: AbortSignal): Promise<void> {
    if (base.format === "raw") return;
    try {
      await run(["qemu-img", "check", "-f", "qcow2", base.path], { signal });
    } catch (cause) {
      signal.throwIfAborted();
      throw new WrennError("incompatible_snapshot", `Cannot use the disk ${base.path}: it is damaged`, { cause });
    }
  }

  /** A file is nothing that could be held. */
  async detach(): Promise<void> {}

  async sweep(): Promise<void> {}

  async remove(disk: Pick<Disk, "path">): Promise<void> {
    await remove(disk.path, "disk.remove");
  }

  async usage(disk: Pick<Disk, "path">): Promise<number> {
    return (await stat(disk.path)).blocks * 512;
  }
}
