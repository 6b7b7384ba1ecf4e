/**
 * Step `kernel`: Debian's cloud kernel and two static programs, taken out of their packages. Nothing is
 * installed on the host.
 *
 *     vmlinuz            the kernel
 *     release            `uname -r`
 *     linux-image.deb    the whole package, for its modules
 *     busybox, tini      static programs for the initramfs and the root file systems
 */
import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { remove, rename, run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { formatBytes } from "./format.ts";
import { recipeText } from "./recipe.ts";
import type { Step } from "./step.ts";

const KERNEL_METAPACKAGE = "linux-image-cloud-amd64";

/** @param codename the Debian release that the packages come from */
export async function kernelStep(codename: string): Promise<Step> {
  return {
    name: "kernel",
    detail: `Debian ${codename}'s cloud kernel`,
    inputs: { codename, recipe: await recipeText(import.meta.filename) },
    async build(directory, { archive, progress, signal }) {
      const debian = await archive();
      const depends = await debian.field(KERNEL_METAPACKAGE, "Depends");
      const kernelPackage = /^(linux-image-\S+)/.exec(depends)?.[1];
      if (kernelPackage === undefined) {
        throw new WrennError(
          "internal",
          `Cannot find the kernel behind ${KERNEL_METAPACKAGE}: it depends on ${depends}`,
        );
      }
      let bytes = 0;
      const debs = await debian.download([kernelPackage, "busybox-static", "tini"], directory, (done, total) => {
        bytes = total;
        progress.update(done, total);
      });

      const unpacked = join(directory, "unpacked");
      await mkdir(unpacked);
      for (const deb of debs) await run(["dpkg-deb", "--extract", deb, unpacked], { signal, timeoutMs: 600_000 });
      const image = (await readdir(join(unpacked, "boot"))).find((name) => name.startsWith("vmlinuz-"));
      if (image === undefined) throw new WrennError("internal", `Cannot find a kernel image in ${kernelPackage}`);

      const keep: [from: string, to: string, mode: number][] = [
        [join(unpacked, "boot", image), "vmlinuz", 0o444],
        [debs[0] ?? "", "linux-image.deb", 0o444],
        [join(unpacked, await pathOfBusybox(unpacked)), "busybox", 0o555],
        [join(unpacked, "usr/bin/tini-static"), "tini", 0o555],
      ];
      for (const [from, to, mode] of keep) {
        await rename(from, join(directory, to));
        await chmod(join(directory, to), mode);
      }
      await writeFile(join(directory, "release"), image.slice("vmlinuz-".length));
      for (const leftover of [unpacked, ...debs.slice(1)]) await remove(leftover);
      return `${image.slice("vmlinuz-".length)}, ${formatBytes(bytes)} downloaded`;
    },
  };
}

/** `bin/busybox`, on newer releases `usr/bin/busybox`. */
async function pathOfBusybox(unpacked: string): Promise<string> {
  const names = await readdir(unpacked);
  return names.includes("bin") ? "bin/busybox" : "usr/bin/busybox";
}
