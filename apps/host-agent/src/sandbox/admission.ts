/** Is there room for one more guest? Asked before any work starts. */
import { readFile, statfs } from "node:fs/promises";
import { WrennError } from "@wrenn/errors";
import type { Resources } from "./record.ts";

/** What the host keeps for itself. */
const RESERVED_MEMORY_MIB = 256;
const RESERVED_DISK_MIB = 512;

export interface Room {
  memoryTotalMib: number;
  memoryAvailableMib: number;
  diskAvailableMib: number;
}

/** Reads what is left of the host's memory and of the state directory's file system. */
export async function readRoom(stateDirectory: string): Promise<Room> {
  const [meminfo, disk] = await Promise.all([readFile("/proc/meminfo", "utf8"), statfs(stateDirectory)]);
  const kib = (field: string): number => Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(meminfo)?.[1] ?? 0);
  return {
    memoryTotalMib: Math.floor(kib("MemTotal") / 1024),
    memoryAvailableMib: Math.floor(kib("MemAvailable") / 1024),
    diskAvailableMib: Math.floor((disk.bavail * disk.bsize) / 1024 / 1024),
  };
}

/** @throws WrennError `capacity` that says what is short */
export async function assertRoom(stateDirectory: string, resources: Resources): Promise<void> {
  const room = await readRoom(stateDirectory);
  const neededMib = resources.memoryMib + RESERVED_MEMORY_MIB;
  if (room.memoryAvailableMib < neededMib) throw short("memory", room.memoryAvailableMib, neededMib);
  if (room.diskAvailableMib < RESERVED_DISK_MIB) throw short("disk", room.diskAvailableMib, RESERVED_DISK_MIB);
}

function short(what: string, availableMib: number, neededMib: number): WrennError {
  return new WrennError(
    "capacity",
    `Cannot start the sandbox: the host is short of ${what} (${availableMib} MiB left, ${neededMib} MiB needed)`,
    {
      hint: "Pause or destroy a sandbox, or ask for less",
    },
  );
}
