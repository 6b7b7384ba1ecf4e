/** Step `testbed-initramfs`: busybox, what the root file system needs of the modules, and `guest/init`. */
import { readFile, writeFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import { cpioArchive, fileDigest, modulesInLoadOrder, recipeText, type CpioEntry, type Step } from "@wrenn/guest/build";
import { TESTBED_GUEST } from "./paths.ts";

const INIT = join(TESTBED_GUEST, "init");
const MODULES = ["virtio_pci", "virtio_console", "9p", "9pnet_virtio", "overlay"];

/** @param kernelDirectory what step `testbed-kernel` made */
export async function initramfsStep(kernelDirectory: string): Promise<Step> {
  const release = await readFile(join(kernelDirectory, "release"), "utf8");
  return {
    name: "testbed-initramfs",
    detail: `initramfs for ${release}`,
    inputs: {
      kernel: `${basename(kernelDirectory)} ${release}`,
      init: await fileDigest(INIT),
      recipe: await recipeText(import.meta.filename),
    },
    async build(directory) {
      const modules = await modulesInLoadOrder(join(kernelDirectory, "lib/modules", release), MODULES);
      const entries: CpioEntry[] = [
        ...["bin", "dev", "lower", "modules", "root", "upper"].map((path) => ({ path, mode: 0o755 })),
        { path: "bin/busybox", mode: 0o755, content: await readFile(join(kernelDirectory, "busybox")) },
        { path: "init", mode: 0o755, content: await readFile(INIT) },
        ...modules.map(({ name, content }, index) => ({
          path: `modules/${String(index).padStart(2, "0")}-${name}.ko`,
          mode: 0o644,
          content,
        })),
      ];
      const archive = gzipSync(cpioArchive(entries), { level: 9 });
      await writeFile(join(directory, "initramfs.cpio.gz"), archive, { mode: 0o444 });
      return `${modules.length} modules`;
    },
  };
}
