/**
 * The guest that tests share, on the testbed's own disk: there files share blocks and have direct I/O. What it needs
 * beyond the guest itself is made outside, where that is quick, and lies beside it.
 */
import { chmod, copyFile, mkdir, readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { remove, rename, run, statIfExists } from "@wrenn/effects";
import { readGuestManifest, type GuestTemplate } from "@wrenn/guest";
import { sharedBaseImage, SHARED_DIRECTORY } from "../../guest/testing/test-guest.ts";
import { elfKernelPath, unpackKernel } from "../../apps/host-agent/src/vmm/firecracker/kernel-image.ts";

/** What is made outside: images without their holes, which 9p does not tell, and the kernel as Firecracker loads it. */
const PREPARED = join(SHARED_DIRECTORY, "testbed/guest");
const KERNEL = join(PREPARED, "kernel.elf");
const imageOf = ({ buildId }: GuestTemplate): string => join(PREPARED, `${buildId}.qcow2`);
/** The testbed's disk: docs/reference/testbed.md. */
const SCRATCH = "/scratch/shared";
/** What tests add to the shared guest. */
const ADDED = ["golden", "kernels"];

/** Outside, before the testbed is started. */
export async function prepareSharedGuest(signal: AbortSignal): Promise<void> {
  await sharedBaseImage(signal);
  const { templates, kernelPath } = await readGuestManifest(SHARED_DIRECTORY);
  await mkdir(PREPARED, { recursive: true });
  await unpackKernel(kernelPath, KERNEL);
  const wanted = new Set([KERNEL, ...templates.map(imageOf)]);
  for (const name of await readdir(PREPARED)) if (!wanted.has(join(PREPARED, name))) await remove(join(PREPARED, name));
  for (const template of templates) {
    const image = imageOf(template);
    if ((await statIfExists(image)) !== undefined) continue;
    const temporary = `${image}.${process.pid}`;
    await run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", template.rootfsPath, temporary], {
      signal,
      timeoutMs: 300_000,
    });
    await rename(temporary, image);
  }
}

/**
 * Inside, once: from then on the shared directory's images, golden snapshots and kernels are on the disk.
 * @param names of the templates whose images are wanted
 */
export async function takeSharedGuest(names: readonly string[]): Promise<void> {
  const { templates, kernelPath } = await readGuestManifest(SHARED_DIRECTORY);
  await mkdir(SCRATCH, { mode: 0o711 });
  for (const template of templates.filter(({ name }) => names.includes(name))) {
    const step = dirname(template.rootfsPath);
    const place = join(SCRATCH, basename(step));
    await mkdir(place);
    await copyFile(join(step, "rootfs.json"), join(place, "rootfs.json"));
    const image = join(place, basename(template.rootfsPath));
    await run(["qemu-img", "convert", "-O", "raw", imageOf(template), image], { timeoutMs: 600_000 });
    await chmod(image, 0o444);
    await run(["mount", "--bind", place, step]);
  }
  for (const name of ADDED) {
    const [place, there] = [join(SCRATCH, name), join(SHARED_DIRECTORY, name)];
    for (const directory of [place, there]) await mkdir(directory, { recursive: true, mode: 0o711 });
    await run(["mount", "--bind", place, there]);
  }
  await copyFile(KERNEL, elfKernelPath(SHARED_DIRECTORY, kernelPath));
}
