/** The file system of the state directory. */
import { stat, statfs } from "node:fs/promises";
import { dirname } from "node:path";
import type { Check, Finding } from "../finding.ts";
import { readText } from "./read-text.ts";

/** Numbers of file systems, statfs(2). */
const XFS = 0x58465342;
const BTRFS = 0x9123683e;
const OPTIONS = ["noatime", "nodev", "nosuid"];

export const checkStateFileSystem: Check = async ({ stateDirectory }) => {
  const type = await statfs(stateDirectory).then(
    ({ type: number }) => number,
    () => undefined,
  );
  if (type === undefined) {
    const found = `${stateDirectory} is not there`;
    return [{ name: "file system", status: "limited", found, hint: "Start the platform once" }];
  }
  return [describeType(stateDirectory, type), await describeMount(stateDirectory)];
};

function describeType(stateDirectory: string, type: number): Finding {
  const name = "file system";
  if (type === XFS || type === BTRFS)
    return { name, status: "ok", found: `${type === XFS ? "XFS" : "btrfs"} in ${stateDirectory}` };
  return {
    name,
    status: "limited",
    found: `${stateDirectory} is neither on XFS nor on btrfs`,
    consequence: "Files cannot share blocks: joining layers and disks copies them",
    hint: "Put WRENN_DIR on a file system of its own: mkfs.xfs -m reflink=1",
  };
}

async function describeMount(stateDirectory: string): Promise<Finding> {
  const name = "mount";
  const [own, parent] = await Promise.all([stat(stateDirectory), stat(dirname(stateDirectory))]);
  if (own.dev === parent.dev) {
    return {
      name,
      status: "limited",
      found: `${stateDirectory} shares a file system with ${dirname(stateDirectory)}`,
      consequence: "Whoever fills that file system pauses all sandboxes",
      hint: "Give it a file system of its own",
    };
  }
  const lines = (await readText("/proc/self/mounts")).split("\n").map((line) => line.split(" "));
  const options = lines.findLast(([, path]) => path === stateDirectory)?.[3]?.split(",") ?? [];
  const missing = OPTIONS.filter((option) => !options.includes(option));
  if (missing.length === 0) return { name, status: "ok", found: `of its own, with ${OPTIONS.join(", ")}` };
  return {
    name,
    status: "limited",
    found: `mounted without ${missing.join(", ")}`,
    consequence: "Reads write, or files of guests' disks could be devices or programs with more rights",
    hint: `Mount it with ${OPTIONS.join(",")}`,
  };
}
