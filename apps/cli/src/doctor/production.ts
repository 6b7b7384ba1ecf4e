/** What a machine that serves others should have beyond what Wrenn needs: docs/guides/production.md. */
import { readdir, readFile, statfs } from "node:fs/promises";
import { join } from "node:path";
import type { Check, Finding } from "./finding.ts";

/** Numbers of file systems, statfs(2). */
const XFS = 0x58465342;
const BTRFS = 0x9123683e;
/** Every sandbox takes some: loop devices, sockets, pipes. */
const OPEN_FILES_WANTED = 65_536;
/** Every VM's threads count against it. */
const PIDS_WANTED = 131_072;

const read = async (path: string): Promise<string> => (await readFile(path, "utf8").catch(() => "")).trim();

const checkSwap: Check = async () => {
  const name = "swap";
  const devices = (await read("/proc/swaps")).split("\n").slice(1);
  if (devices.length === 0) return [{ name, status: "ok", found: "off" }];
  return [
    {
      name,
      status: "limited",
      found: `on: ${devices.map((line) => line.split(/\s+/)[0]).join(", ")}`,
      consequence: "Memory of guests reaches a disk outside the state directory, and pauses become slow",
      hint: "Run swapoff --all, and take swap out of /etc/fstab",
    },
  ];
};

const checkFileSystem: Check = async ({ stateDirectory }) => {
  const name = "file system";
  const type = await statfs(stateDirectory).then(
    ({ type: number }) => number,
    () => undefined,
  );
  if (type === undefined) {
    return [{ name, status: "limited", found: `${stateDirectory} is not there`, hint: "Start the platform once" }];
  }
  if (type === XFS || type === BTRFS) {
    return [{ name, status: "ok", found: `${type === XFS ? "XFS" : "btrfs"} in ${stateDirectory}` }];
  }
  return [
    {
      name,
      status: "limited",
      found: `${stateDirectory} is neither on XFS nor on btrfs`,
      consequence: "Files cannot share blocks: joining layers and disks copies them",
      hint: "Put WRENN_DIR on a file system of its own: mkfs.xfs -m reflink=1",
    },
  ];
};

const checkSamePageMerging: Check = async () => {
  const name = "page merging";
  if ((await read("/sys/kernel/mm/ksm/run")) !== "1") return [{ name, status: "ok", found: "off" }];
  return [
    {
      name,
      status: "limited",
      found: "KSM is on",
      consequence: "What a guest holds in memory can be told from another guest by timing",
      hint: "Run: echo 2 > /sys/kernel/mm/ksm/run",
    },
  ];
};

const checkVulnerabilities: Check = async () => {
  const name = "cpu";
  const directory = "/sys/devices/system/cpu/vulnerabilities";
  const names = await readdir(directory).catch(() => []);
  const states = await Promise.all(names.map(async (one) => [one, await read(join(directory, one))] as const));
  const open = states.filter(([, state]) => state.startsWith("Vulnerable")).map(([one]) => one);
  if (open.length === 0) return [{ name, status: "ok", found: "no known leak is open" }];
  return [
    {
      name,
      status: "limited",
      found: `open: ${open.join(", ")}`,
      consequence: "A guest may read memory that is not its own",
      hint: "Update microcode and kernel, boot without mitigations=off, and turn SMT off",
    },
  ];
};

const checkSmt: Check = async () => {
  const name = "smt";
  if ((await read("/sys/devices/system/cpu/smt/active")) !== "1") return [{ name, status: "ok", found: "off" }];
  return [
    {
      name,
      status: "limited",
      found: "on: two guests may share a core",
      consequence: "Guests that share a core can learn of each other by timing",
      hint: "For tenants who do not trust each other: echo off > /sys/devices/system/cpu/smt/control",
    },
  ];
};

const checkLimits: Check = async () => {
  const findings: Finding[] = [];
  const files = Number(/^Max open files\s+(\d+)/m.exec(await read("/proc/self/limits"))?.[1] ?? Infinity);
  const pids = Number(await read("/proc/sys/kernel/pid_max"));
  findings.push(enough("open files", files, OPEN_FILES_WANTED, "Set LimitNOFILE=infinity in the service's unit"));
  findings.push(enough("process ids", pids, PIDS_WANTED, "Set the sysctl kernel.pid_max=4194304"));
  return findings;
};

function enough(name: string, found: number, wanted: number, hint: string): Finding {
  if (found >= wanted) return { name, status: "ok", found: `at most ${found}` };
  const consequence = `${wanted} are room for some thousand sandboxes`;
  return { name, status: "limited", found: `at most ${found}`, consequence, hint };
}

const checkListen: Check = async (config) => {
  const name = "listen";
  const loopback = /^(?:127\.|::1$|localhost$)/.test(config.WRENN_LISTEN);
  if (loopback) return [{ name, status: "ok", found: `the API listens on ${config.WRENN_LISTEN}` }];
  return [
    {
      name,
      status: "limited",
      found: `the API listens on ${config.WRENN_LISTEN}, without TLS`,
      consequence: "Keys cross the network in the clear",
      hint: "Leave WRENN_LISTEN alone, and put a proxy with TLS in front",
    },
  ];
};

export const PRODUCTION_CHECKS: readonly Check[] = [
  checkSwap,
  checkFileSystem,
  checkSamePageMerging,
  checkVulnerabilities,
  checkSmt,
  checkLimits,
  checkListen,
];
