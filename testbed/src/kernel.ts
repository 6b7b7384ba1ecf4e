/**
 * Step `testbed-kernel`: Debian's generic kernel, taken out of its package; nothing is installed on the
 * host. The cloud kernel has neither KVM nor 9p.
 *
 *     vmlinuz        the kernel
 *     release        `uname -r`
 *     lib/modules    its modules, without drivers of hardware that no virtual machine has
 *     busybox        for the initramfs
 */
import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { remove, rename, run, statIfExists } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { recipeText, type Step } from "@wrenn/guest/build";

const KERNEL_METAPACKAGE = "linux-image-amd64";
/** Of `kernel/drivers`; the other subsystems are kept whole. */
const KEPT_DRIVERS = new Set(["block", "char", "crypto", "dax", "md", "net", "vhost", "virtio"]);
const LEFT_OUT = ["kernel/sound", "kernel/drivers/net/ethernet", "kernel/drivers/net/wireless"];

/** @param codename the Debian release that the packages come from */
export async function kernelStep(codename: string): Promise<Step> {
  return {
    name: "testbed-kernel",
    detail: `Debian ${codename}'s generic kernel`,
    inputs: { codename, recipe: await recipeText(import.meta.filename) },
    async build(directory, { archive, progress, signal }) {
      const debian = await archive();
      const depends = await debian.field(KERNEL_METAPACKAGE, "Depends");
      const kernelPackage = /^(linux-image-\S+)/.exec(depends)?.[1];
      if (kernelPackage === undefined)
        throw new WrennError(
          "internal",
          `Cannot find the kernel behind ${KERNEL_METAPACKAGE}: it depends on ${depends}`,
        );
      const debs = await debian.download([kernelPackage, "busybox-static"], directory, (done, total) =>
        progress.update(done, total),
      );
      const unpacked = join(directory, "unpacked");
      await mkdir(unpacked);
      for (const deb of debs) {
        await run(["dpkg-deb", "--extract", deb, unpacked], { signal });
        await remove(deb);
      }
      const image = (await readdir(join(unpacked, "boot"))).find((name) => name.startsWith("vmlinuz-"));
      if (image === undefined) throw new WrennError("internal", `Cannot find a kernel image in ${kernelPackage}`);
      const release = image.slice("vmlinuz-".length);
      await mkdir(join(directory, "lib"));
      await rename(join(unpacked, "boot", image), join(directory, "vmlinuz"));
      await rename(await firstThere(unpacked, ["bin/busybox", "usr/bin/busybox"]), join(directory, "busybox"));
      await rename(await firstThere(unpacked, ["lib/modules", "usr/lib/modules"]), join(directory, "lib/modules"));
      await remove(unpacked);
      await leaveOut(join(directory, "lib/modules", release));
      await run(["depmod", "--basedir", directory, release], { signal });
      await writeFile(join(directory, "release"), release);
      return release;
    },
  };
}

/** Newer releases have these below `usr/`. */
async function firstThere(root: string, paths: readonly string[]): Promise<string> {
  for (const path of paths) if ((await statIfExists(join(root, path))) !== undefined) return join(root, path);
  throw new WrennError("internal", `Cannot find ${paths.join(" or ")} in the packages`);
}

async function leaveOut(modules: string): Promise<void> {
  const drivers = join(modules, "kernel/drivers");
  for (const name of await readdir(drivers)) if (!KEPT_DRIVERS.has(name)) await remove(join(drivers, name));
  for (const path of LEFT_OUT) await remove(join(modules, path));
}
