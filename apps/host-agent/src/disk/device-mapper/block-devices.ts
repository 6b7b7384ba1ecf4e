/**
 * Block devices as sysfs shows them: nothing is remembered and no program is run. Devices go by their kernel
 * names, `dm-3` and `loop4`, under which each has a node in /dev without udev.
 * https://docs.kernel.org/admin-guide/abi-testing.html#abi-sys-block-dm-num-dm-name
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

const SYSFS = "/sys/block";

export interface MappedDevice {
  kernelName: string;
  /** What it was created as. */
  name: string;
}

/** A loop device and the path of the file that it holds; a file that was removed or replaced has none. */
export interface LoopDevice {
  kernelName: string;
  file: string;
  readOnly: boolean;
}

export const nodeOf = (kernelName: string): string => `/dev/${kernelName}`;

export async function mappedDevices(): Promise<MappedDevice[]> {
  return await eachBlock("dm-", async (kernelName) => ({ kernelName, name: await attribute(kernelName, "dm/name") }));
}

/** The kernel's name of a device-mapper device; undefined when there is none. */
export async function findMapped(name: string): Promise<string | undefined> {
  return (await mappedDevices()).find((device) => device.name === name)?.kernelName;
}

export async function loopDevices(): Promise<LoopDevice[]> {
  return await eachBlock("loop", async (kernelName) => ({
    kernelName,
    // "/path (deleted)" names a file that is no longer at that path.
    file: await attribute(kernelName, "loop/backing_file"),
    readOnly: (await attribute(kernelName, "ro")) === "1",
  }));
}

export async function loopsOf(file: string): Promise<LoopDevice[]> {
  return (await loopDevices()).filter((loop) => loop.file === file);
}

/** The file that a loop device holds, also one that was removed since; undefined for what is no loop device. */
export async function fileOfLoop(kernelName: string): Promise<string | undefined> {
  return await attribute(kernelName, "loop/backing_file").catch(() => undefined);
}

/** What is built on a device. */
export async function holdersOf(kernelName: string): Promise<string[]> {
  return await readdir(join(SYSFS, kernelName, "holders")).catch(() => []);
}

/** What a device is built on. */
export async function slavesOf(kernelName: string): Promise<string[]> {
  return await readdir(join(SYSFS, kernelName, "slaves")).catch(() => []);
}

/** Devices may go while they are listed: those are left out. */
async function eachBlock<T>(prefix: string, read: (kernelName: string) => Promise<T>): Promise<T[]> {
  const names = (await readdir(SYSFS)).filter((name) => name.startsWith(prefix));
  const found = await Promise.all(names.map((name) => read(name).catch(() => undefined)));
  return found.filter((one) => one !== undefined) as T[];
}

async function attribute(kernelName: string, path: string): Promise<string> {
  return (await readFile(join(SYSFS, kernelName, path), "utf8")).trimEnd();
}
