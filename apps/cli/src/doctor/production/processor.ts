/** The processor: what guests that share it can learn of each other. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Check } from "../finding.ts";
import { readText } from "./read-text.ts";

export const checkVulnerabilities: Check = async () => {
  const name = "cpu";
  const directory = "/sys/devices/system/cpu/vulnerabilities";
  const names = await readdir(directory).catch(() => []);
  const states = await Promise.all(names.map(async (one) => [one, await readText(join(directory, one))] as const));
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

export const checkSmt: Check = async () => {
  const name = "smt";
  if ((await readText("/sys/devices/system/cpu/smt/active")) !== "1") return [{ name, status: "ok", found: "off" }];
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
