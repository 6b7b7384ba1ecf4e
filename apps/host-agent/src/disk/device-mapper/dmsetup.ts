/** Making and removing device-mapper and loop devices, through dmsetup(8) and losetup(8). */
import { setTimeout } from "node:timers/promises";
import { failpoint, run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { findMapped, nodeOf } from "./block-devices.ts";

/** A kernel that still closes the device of a VM that has just ended says busy for a moment. */
const BUSY_FIRST_WAIT_MS = 10;
const BUSY_LONGEST_WAIT_MS = 1_000;

/** @returns the device's kernel name */
export async function createMapped(
  name: string,
  table: readonly string[],
  options: { readOnly?: boolean; signal: AbortSignal },
): Promise<string> {
  failpoint("disk.device");
  const mode = options.readOnly === true ? ["--readonly"] : [];
  await run(["dmsetup", "create", name, ...mode], { input: `${table.join("\n")}\n`, signal: options.signal });
  const kernelName = await findMapped(name);
  if (kernelName === undefined) throw new WrennError("internal", `Cannot find the device ${name} that was made`);
  return kernelName;
}

/**
 * Removes a device; a missing one is success. Waits for as long as it is busy, and for nothing else.
 * @throws WrennError `timeout` when it was there until `signal` was aborted
 */
export async function removeMapped(name: string, signal: AbortSignal): Promise<void> {
  for (let waitMs = BUSY_FIRST_WAIT_MS; ; waitMs = Math.min(2 * waitMs, BUSY_LONGEST_WAIT_MS)) {
    if ((await findMapped(name)) === undefined) return;
    try {
      failpoint("disk.device.remove");
      await run(["dmsetup", "remove", name], { signal });
      return;
    } catch (cause) {
      if (!signal.aborted && !/Device or resource busy/i.test(String(cause))) throw cause;
      await setTimeout(waitMs, undefined, { signal }).catch(() => {
        throw new WrennError("timeout", `Cannot remove the device ${name} in time`, { cause });
      });
    }
  }
}

/** The device's one line of `dmsetup status`. */
export async function statusOf(name: string, signal: AbortSignal): Promise<string> {
  return (await run(["dmsetup", "status", name], { signal })).stdout;
}

/** Makes a loop device of `file`. @returns its kernel name */
export async function attachLoop(file: string, options: { readOnly: boolean; signal: AbortSignal }): Promise<string> {
  failpoint("disk.loop");
  // Direct I/O: what the guest's file system caches is not cached again in the host.
  const mode = options.readOnly ? ["--read-only"] : ["--direct-io=on"];
  const { stdout } = await run(["losetup", "--find", "--show", ...mode, file], { signal: options.signal });
  return stdout.trim().slice(nodeOf("").length);
}

export async function detachLoop(kernelName: string, signal: AbortSignal): Promise<void> {
  failpoint("disk.loop.detach");
  await run(["losetup", "--detach", nodeOf(kernelName)], { signal });
}
