/** What the kernel is told: sysctls, swap, same-page merging, huge pages, modules. */
import { readdir } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import { statIfExists } from "@wrenn/effects";
import type { Check, Finding } from "../finding.ts";
import { readText } from "./read-text.ts";

/** The table of docs/guides/production.md. */
export const SYSCTLS = [
  { name: "kernel.pid_max", value: 4_194_304, enough: "more", why: "every VM has threads" },
  { name: "vm.max_map_count", value: 1_048_576, enough: "more", why: "restored memory is made of many mappings" },
  {
    name: "vm.overcommit_memory",
    value: 1,
    enough: "equal",
    why: "guests' memory is mapped whole and touched in part",
  },
  { name: "net.netfilter.nf_conntrack_max", value: 1_048_576, enough: "more", why: "connections of all guests" },
  { name: "vm.swappiness", value: 0, enough: "equal", why: "with swap off it says what is meant" },
] as const;

export const checkSysctls: Check = async () => {
  const findings: Finding[] = [];
  for (const { name, value, enough, why } of SYSCTLS) {
    const text = await readText(join("/proc/sys", name.replaceAll(".", "/")));
    const isEnough = text !== "" && (enough === "more" ? Number(text) >= value : Number(text) === value);
    const found = text === "" ? "not there: its module is not loaded yet" : text;
    const hint = `Put ${name} = ${value} into /etc/sysctl.d/90-wrenn.conf, and run sysctl --system`;
    findings.push(
      isEnough ? { name, status: "ok", found } : { name, status: "limited", found, consequence: why, hint },
    );
  }
  return findings;
};

export const checkSwap: Check = async () => {
  const name = "swap";
  const devices = (await readText("/proc/swaps")).split("\n").slice(1);
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

export const checkSamePageMerging: Check = async () => {
  const name = "page merging";
  if ((await readText("/sys/kernel/mm/ksm/run")) !== "1") return [{ name, status: "ok", found: "off" }];
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

export const checkHugePages: Check = async () => {
  const name = "huge pages";
  const reserved = Number((await readText("/proc/sys/vm/nr_hugepages")) || 0);
  if (reserved === 0) return [{ name, status: "ok", found: "none reserved" }];
  return [
    {
      name,
      status: "limited",
      found: `${reserved} reserved`,
      consequence: "Guests do not use them: the memory is lost to them",
      hint: "Set the sysctl vm.nr_hugepages=0",
    },
  ];
};

/** Firecracker and device-mapper need them, and nothing loads them by itself. */
const MODULES = ["kvm_intel or kvm_amd", "loop", "dm_snapshot", "tun"] as const;
const MODULE_LISTS = ["/etc/modules-load.d", "/usr/lib/modules-load.d", "/usr/local/lib/modules-load.d"];

export const checkModules: Check = async () => {
  const name = "modules";
  const listed = [readText("/etc/modules"), readText(`/lib/modules/${release()}/modules.builtin`)];
  for (const directory of MODULE_LISTS) {
    for (const file of await readdir(directory).catch(() => [])) listed.push(readText(join(directory, file)));
  }
  const text = (await Promise.all(listed)).join("\n").replaceAll("-", "_");
  const atBoot = (module: string): boolean => new RegExp(`(?:^|/)${module}(?:\\.ko.*)?\\s*$`, "m").test(text);
  const missing: string[] = [];
  for (const module of MODULES) {
    const names = module.split(" or ");
    // Without a directory of modules everything that is there is built in.
    const present = await Promise.all(names.map((one) => statIfExists(`/sys/module/${one}`)));
    const isBuiltIn = (await statIfExists(`/lib/modules/${release()}`)) === undefined && present.some(Boolean);
    if (!isBuiltIn && !names.some(atBoot)) missing.push(module);
  }
  if (missing.length === 0) return [{ name, status: "ok", found: `loaded at boot: ${MODULES.join(", ")}` }];
  return [
    {
      name,
      status: "limited",
      found: `nothing loads ${missing.join(", ")} at boot`,
      consequence: "After a restart of the machine Firecracker and device-mapper cannot be used",
      hint: "List them in /etc/modules-load.d/wrenn.conf",
    },
  ];
};
