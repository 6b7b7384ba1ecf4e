/** Mounts, block devices, files and cgroups. */
import { existsSync, readdirSync, readFileSync, type Dirent } from "node:fs";

/** Mounts of this mount namespace, by place, type and source. */
export async function listMounts(): Promise<string[]> {
  // the first `ip netns add` after a boot mounts /run/netns on itself, for good (ip-netns(8))
  const mounts = readMounts().filter(({ place }) => place !== "/run/netns");
  return mounts.map(({ place, type, source }) => `${place} (${type} of ${source})`);
}

/** Loop devices that have a file. */
export async function listLoopDevices(): Promise<string[]> {
  return readdirSync("/sys/block")
    .filter((name) => existsSync(`/sys/block/${name}/loop/backing_file`))
    .map((name) => `/dev/${name} (${readFileSync(`/sys/block/${name}/loop/backing_file`, "utf8").trim()})`);
}

/** Device-mapper devices by name. */
export async function listDeviceMapper(): Promise<string[]> {
  return readdirSync("/sys/block")
    .filter((name) => existsSync(`/sys/block/${name}/dm/name`))
    .map((name) => readFileSync(`/sys/block/${name}/dm/name`, "utf8").trim());
}

/** Everything below directories; a missing directory has nothing. */
export async function listFiles(directories: readonly string[]): Promise<string[]> {
  return directories.flatMap((directory) =>
    below(directory)
      .filter((entry) => entry.name !== "operations.jsonl") // written behind an operation; its directory tells
      .map((entry) => `${entry.parentPath}/${entry.name}${kindOf(entry)}`),
  );
}

/** Cgroups of any hierarchy whose name, or that of one above them, starts with "wrenn". */
export async function listCgroups(): Promise<string[]> {
  return readMounts()
    .filter(({ type }) => type === "cgroup" || type === "cgroup2")
    .flatMap(({ place }) => below(place))
    .filter((entry) => entry.isDirectory())
    .map((entry) => `${entry.parentPath}/${entry.name}`)
    .filter((path) => path.includes("/wrenn"));
}

/** The fields of proc_pid_mountinfo(5) that tell a mount. */
function readMounts(): { place: string; type: string; source: string }[] {
  return readFileSync("/proc/self/mountinfo", "utf8")
    .trim()
    .split("\n")
    .map((line) => {
      const [before = "", after = ""] = line.split(" - ");
      const [type = "", source = ""] = after.split(" ");
      return { place: before.split(" ")[4] ?? "", type, source };
    });
}

function below(directory: string): Dirent[] {
  try {
    return readdirSync(directory, { recursive: true, withFileTypes: true });
  } catch (error) {
    // it went away while we read it: what remains is seen by the next look
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}

function kindOf(entry: Dirent): string {
  if (entry.isSocket()) return " (socket)";
  if (entry.isDirectory()) return "/";
  return "";
}
