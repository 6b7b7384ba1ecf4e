/** Is there room for one more guest? Asked before any work starts. */
import { readFile, statfs } from "node:fs/promises";
import { WrennError } from "@wrenn/errors";
import type { Resources } from "./record.ts";

/** What the host keeps for itself. */
export interface Reserves {
  memoryMib: number;
  /** Below this much of the state directory's file system, running sandboxes are paused. */
  diskMib: number;
  /** Processes and threads. */
  threads: number;
}

/** What a start writes at least, beyond the reserve: a guest is not started only to be paused at once. */
const START_DISK_MIB = 512;
/** What a VM takes at most: VMM, its I/O threads, and the shim. */
const THREADS_PER_VM = 64;

export interface Room {
  memoryTotalMib: number;
  memoryAvailableMib: number;
  diskAvailableMib: number;
  /** How many more processes and threads the kernel would make. */
  threadsAvailable: number;
}

/** Reads what is left of the host's memory, threads, and the state directory's file system. */
export async function readRoom(stateDirectory: string): Promise<Room> {
  const number = async (path: string): Promise<number> => Number(await readFile(path, "utf8"));
  const [meminfo, load, threadsMax, pidMax, diskAvailableMib] = await Promise.all([
    readFile("/proc/meminfo", "utf8"),
    readFile("/proc/loadavg", "utf8"), // proc(5): the fourth field is running/existing scheduling entities
    number("/proc/sys/kernel/threads-max"),
    number("/proc/sys/kernel/pid_max"),
    readDiskAvailableMib(stateDirectory),
  ]);
  const kib = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(meminfo)?.[1] ?? 0);
  return {
    memoryTotalMib: Math.floor(kib("MemTotal") / 1024),
    memoryAvailableMib: Math.floor(kib("MemAvailable") / 1024),
    diskAvailableMib,
    threadsAvailable: Math.min(threadsMax, pidMax) - Number(/\/(\d+)/.exec(load)?.[1] ?? 0),
  };
}

/** What is left of a directory's file system, MiB. */
export async function readDiskAvailableMib(directory: string): Promise<number> {
  const { bavail, bsize } = await statfs(directory);
  return Math.floor((bavail * bsize) / 1024 / 1024);
}

/**
 * @param starting what was admitted and does not yet run: its memory is promised, not yet taken
 * @throws WrennError `capacity` that says what is short
 */
export async function assertRoom(
  stateDirectory: string,
  reserves: Reserves,
  starting: readonly Resources[],
  resources: Resources,
): Promise<void> {
  const room = await readRoom(stateDirectory);
  const promisedMib = starting.reduce((sum, { memoryMib }) => sum + memoryMib, 0);
  const limits = [
    ["memory", "MiB", room.memoryAvailableMib - promisedMib, resources.memoryMib + reserves.memoryMib],
    ["disk", "MiB", room.diskAvailableMib, reserves.diskMib + START_DISK_MIB],
    [
      "processes",
      "threads",
      room.threadsAvailable - starting.length * THREADS_PER_VM,
      reserves.threads + THREADS_PER_VM,
    ],
  ] as const;
  for (const [what, unit, available, needed] of limits) {
    if (available >= needed) continue;
    throw new WrennError(
      "capacity",
      `Cannot start the sandbox: the host is short of ${what} (${Math.max(available, 0)} ${unit} left, ${needed} ${unit} needed)`,
      { hint: "Pause or destroy a sandbox, or ask for less" },
    );
  }
}
