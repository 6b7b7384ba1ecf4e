/**
 * Step `initramfs`: busybox, the virtio modules of the kernel step in load order, and `initramfs/init`.
 *
 *     initramfs.cpio.gz
 *     kernel-hash          SHA-256 over kernel and initramfs, hex
 */
import { createHash } from "node:crypto";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import { remove, run, statIfExists } from "@wrenn/effects";
import { cpioArchive, type CpioEntry } from "./cpio.ts";
import { formatBytes } from "./format.ts";
import { modulesInLoadOrder } from "./kernel-modules.ts";
import { fileDigest, GUEST_SOURCES, recipeText } from "./recipe.ts";
import type { Step } from "./step.ts";

const INIT = join(GUEST_SOURCES, "initramfs/init");

/** Drivers of the devices that every VMM gives the guest, and the file systems that it uses. */
const MODULES = [
  "virtio_ring",
  "virtio",
  "virtio_mmio",
  "failover",
  "net_failover",
  "virtio_net",
  "virtio_blk",
  "ext4",
  "overlay",
];

/** @param kernelDirectory what step `kernel` made */
export async function initramfsStep(kernelDirectory: string): Promise<Step> {
  const release = await readFile(join(kernelDirectory, "release"), "utf8");
  return {
    name: "initramfs",
    detail: `initramfs for ${release}`,
    inputs: {
      kernel: `${basename(kernelDirectory)} ${release}`,
      init: await fileDigest(INIT),
      recipe: (
        await Promise.all(
          ["initramfs.ts", "kernel-modules.ts", "cpio.ts"].map((name) => recipeText(join(import.meta.dirname, name))),
        )
      ).join("\n"),
    },
    async build(directory, { signal }) {
      const unpacked = join(directory, "unpacked");
      await mkdir(unpacked);
      await run(["dpkg-deb", "--extract", join(kernelDirectory, "linux-image.deb"), unpacked], {
        signal,
        timeoutMs: 600_000,
      });
      const modules = await modulesInLoadOrder(await modulesDirectory(unpacked, release), MODULES);
      await remove(unpacked);

      const entries: CpioEntry[] = [
        ...["bin", "dev", "modules", "root"].map((path) => ({ path, mode: 0o755 })),
        { path: "bin/busybox", mode: 0o755, content: await readFile(join(kernelDirectory, "busybox")) },
        { path: "init", mode: 0o755, content: await readFile(INIT) },
        ...modules.map(({ name, content }, index) => ({
          path: `modules/${String(index).padStart(2, "0")}-${name}.ko`,
          mode: 0o644,
          content,
        })),
      ];
      // Compressed boots faster than not: QEMU's firmware copies slowly, the kernel inflates quickly.
      const archive = gzipSync(cpioArchive(entries), { level: 9 });
      await writeFile(join(directory, "initramfs.cpio.gz"), archive, { mode: 0o444 });
      const hash = createHash("sha256")
        .update(await readFile(join(kernelDirectory, "vmlinuz")))
        .update(archive);
      await writeFile(join(directory, "kernel-hash"), hash.digest("hex"));
      return `${formatBytes(archive.length)}, ${modules.length} modules`;
    },
  };
}

/** `lib/modules/<release>`, on newer releases below `usr/`. */
async function modulesDirectory(unpacked: string, release: string): Promise<string> {
  const old = join(unpacked, "lib/modules", release);
  return (await statIfExists(old)) === undefined ? join(unpacked, "usr/lib/modules", release) : old;
}
