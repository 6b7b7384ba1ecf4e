/** Builds the testbed's kernel and initramfs, or finds them built. */
import { mkdir, readdir, realpath } from "node:fs/promises";
import { basename, join } from "node:path";
import { remove, statIfExists, waitForLock } from "@wrenn/effects";
import type { GuestProgress } from "@wrenn/guest";
import {
  buildStep,
  debianCodename,
  openDebianArchive,
  stepDirectory,
  TEMPORARY_PREFIX,
  type DebianArchive,
  type Step,
} from "@wrenn/guest/build";
import { initramfsStep } from "./initramfs.ts";
import { kernelStep } from "./kernel.ts";

export interface TestbedImage {
  /** What step `testbed-kernel` made: `vmlinuz`, `lib/modules`, `busybox`. */
  kernelDirectory: string;
  initramfsPath: string;
}

/**
 * The kernel and initramfs of this checkout, built below `<stateDirectory>/testbed` where they are not
 * there yet; that needs Debian's archive.
 */
export async function ensureTestbed(options: {
  stateDirectory: string;
  progress: GuestProgress;
  signal: AbortSignal;
}): Promise<TestbedImage> {
  const { stateDirectory, progress, signal } = options;
  const named = join(stateDirectory, "testbed");
  await mkdir(join(named, "steps"), { recursive: true });
  const directory = await realpath(named);
  const steps = join(directory, "steps");
  const codename = await debianCodename();
  const found = await assemble(codename, async (step) => {
    const path = stepDirectory(steps, step);
    return (await statIfExists(path)) === undefined ? undefined : path;
  });
  if (found !== undefined) return found;

  await using _lock = await waitForLock(join(directory, "build.lock"), signal);
  await keepOnly(steps, (name) => !name.startsWith(TEMPORARY_PREFIX));
  const archiveDirectory = join(steps, `${TEMPORARY_PREFIX}archive`);
  let archive: Promise<DebianArchive> | undefined;
  const openArchive = async (): Promise<DebianArchive> => {
    await mkdir(archiveDirectory);
    return await openDebianArchive(archiveDirectory, signal);
  };
  try {
    const tools = { progress, signal, archive: () => (archive ??= openArchive()) };
    const built = await assemble(codename, (step) => buildStep(steps, step, tools));
    if (built === undefined) throw new Error("unreachable: a built step has a directory");
    const inUse = [basename(built.kernelDirectory), basename(join(built.initramfsPath, ".."))];
    await keepOnly(steps, (name) => inUse.includes(name));
    return built;
  } finally {
    await remove(archiveDirectory);
  }
}

/** Goes through the steps in order; undefined when one of them has no directory. */
async function assemble(
  codename: string,
  obtain: (step: Step) => Promise<string | undefined>,
): Promise<TestbedImage | undefined> {
  const kernelDirectory = await obtain(await kernelStep(codename));
  if (kernelDirectory === undefined) return undefined;
  const initramfs = await obtain(await initramfsStep(kernelDirectory));
  return initramfs === undefined ? undefined : { kernelDirectory, initramfsPath: join(initramfs, "initramfs.cpio.gz") };
}

async function keepOnly(steps: string, keep: (name: string) => boolean): Promise<void> {
  for (const name of await readdir(steps)) if (!keep(name)) await remove(join(steps, name));
}
