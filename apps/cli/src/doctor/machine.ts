/** The machine: platform, user, memory, disk. */
import { readFile, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import { statIfExists } from "@wrenn/effects";
import { guestManifestPath } from "@wrenn/guest";
import { formatBytes } from "../terminal/units.ts";
import type { Check, Finding } from "./finding.ts";

const GIB = 1024 ** 3;
/** What the build of the guest takes while it runs, and what golden snapshots and disks then take. */
const FIRST_START_BYTES = 4 * GIB;
const LATER_START_BYTES = GIB / 2;
const COMFORTABLE_BYTES = 10 * GIB;

export const checkSystem: Check = async () => {
  const {
    ID: id = "?",
    VERSION_ID: version = "",
    PRETTY_NAME: name = "an unknown distribution",
  } = parseOsRelease(await readFile("/etc/os-release", "utf8").catch(() => ""));
  const found = `${name}, ${process.arch === "x64" ? "x86-64" : process.arch}`;
  if (process.platform !== "linux" || process.arch !== "x64") {
    return [{ name: "system", status: "missing", found, consequence: "Wrenn runs on Linux on x86-64" }];
  }
  // a rolling Debian (testing, unstable) has no VERSION_ID
  if (id === "debian" && (version === "" || Number(version) >= 12)) return [{ name: "system", status: "ok", found }];
  return [{ name: "system", status: "limited", found, consequence: "Best effort: tested on Debian 12 and newer" }];
};

function parseOsRelease(text: string): Record<string, string> {
  return Object.fromEntries([...text.matchAll(/^(\w+)="?(.*?)"?$/gm)].map(([, key = "", value = ""]) => [key, value]));
}

export const checkRoot: Check = async () => {
  const uid = process.getuid?.();
  if (uid === 0) return [{ name: "root", status: "ok", found: "this user is root" }];
  return [
    {
      name: "root",
      status: "missing",
      found: `user ${uid}`,
      consequence: "Starting the platform needs root: VMs get namespaces and users of their own",
      hint: "Run as root; using a platform that runs needs only WRENN_API_URL and WRENN_API_KEY",
    },
  ];
};

export const checkMemory: Check = async () => {
  const text = await readFile("/proc/meminfo", "utf8");
  const available = Number(/^MemAvailable: +(\d+) kB/m.exec(text)?.[1] ?? 0) * 1024;
  const found = `${formatBytes(available)} available`;
  if (available >= 2 * GIB) return [{ name: "memory", status: "ok", found }];
  return [
    { name: "memory", status: "limited", found, consequence: "Room for few sandboxes: each takes 512 MiB unless told" },
  ];
};

export const checkDisk: Check = async ({ stateDirectory }) => {
  let directory = stateDirectory;
  while ((await statIfExists(directory).catch(() => undefined)) === undefined) directory = dirname(directory);
  const { bavail, bsize } = await statfs(directory);
  const free = bavail * bsize;
  const built = (await statIfExists(guestManifestPath(stateDirectory)).catch(() => undefined)) !== undefined;
  const needed = built ? LATER_START_BYTES : FIRST_START_BYTES;
  const finding: Finding = { name: "disk", status: "ok", found: `${formatBytes(free)} free in ${stateDirectory}` };
  if (free >= COMFORTABLE_BYTES) return [finding];
  if (free >= needed) return [{ ...finding, status: "limited", consequence: "Room for few sandboxes and snapshots" }];
  return [
    {
      ...finding,
      status: "missing",
      consequence: built ? "No room for sandboxes" : `Building the guest takes ${formatBytes(FIRST_START_BYTES)}`,
      hint: "Free some space, or choose a directory on another disk (WRENN_DIR)",
    },
  ];
};

/** The database and the VMs run as users of their own, who must be able to pass on the way to their files. */
export const checkStateDirectory: Check = async ({ stateDirectory }) => {
  const name = "state directory";
  for (let directory = stateDirectory; directory !== "/"; directory = dirname(directory)) {
    const found = await statIfExists(directory).catch(() => undefined);
    // the state directory itself is given its mode by the start
    if (found === undefined || directory === stateDirectory || (found.mode & 0o001) !== 0) continue;
    return [
      {
        name,
        status: "missing",
        found: `other users may not pass ${directory}`,
        consequence: "The database and the VMs run as users of their own and could not reach their files",
        hint: `Run chmod o+x ${directory}, or choose another directory (WRENN_DIR)`,
      },
    ];
  }
  return [{ name, status: "ok", found: stateDirectory }];
};
