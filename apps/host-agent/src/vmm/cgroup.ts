/**
 * What a killed shim leaves of its VM's cgroup (v2). A shim that ends in order removes it itself, and the
 * parent when it was the last.
 * https://docs.kernel.org/admin-guide/cgroup-v2.html
 */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { removeEmptyDirectory } from "@wrenn/effects";

/**
 * Kills what is left in a cgroup and removes it; a missing one is success.
 * @param path below the mount, as in the shim's spec
 */
export async function removeCgroup(path: string): Promise<void> {
  const mounts = await readFile("/proc/self/mounts", "utf8");
  const mount = mounts.split("\n").find((line) => line.split(" ")[2] === "cgroup2");
  if (mount === undefined) return;
  const group = join(mount.split(" ")[1] as string, path);
  // Since Linux 5.14; before, or with nobody in it, there is nothing to write.
  await writeFile(join(group, "cgroup.kill"), "1").catch(() => undefined);
  await removeEmptyDirectory(group, "cgroup.remove");
  const parent = dirname(group);
  const others = await readdir(parent, { withFileTypes: true }).catch(() => []);
  if (others.some((entry) => entry.isDirectory())) return;
  await removeEmptyDirectory(parent, "cgroup.remove-parent").catch(() => undefined); // a VM that starts is faster
}
