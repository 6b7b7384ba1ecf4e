/** How the platform is run: its units, limits, address, and what must not be upgraded below it. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "@wrenn/effects";
import type { Check, Finding } from "../finding.ts";
import { readText } from "./read-text.ts";

/** Every sandbox takes some: loop devices, sockets, pipes. */
const OPEN_FILES_WANTED = 65_536;
const UNIT_DIRECTORY = "/etc/systemd/system";
/** What the units of docs/guides/production.md say, and what becomes of a platform without it. */
export const UNIT_LINES = [
  { line: "KillMode=process", without: "a restart of the platform ends all sandboxes" },
  { line: "TasksMax=infinity", without: "systemd allows a few thousand threads for all sandboxes" },
  { line: "LimitNOFILE=infinity", without: "a few hundred sandboxes use up the open files" },
  { line: "OOMScoreAdjust=-500", without: "the platform may be what is killed when memory runs out" },
] as const;

export const checkUnits: Check = async () => {
  const name = "service";
  const names = await readdir(UNIT_DIRECTORY).catch(() => []);
  // The control plane's own has no VMs below it.
  const units = names.filter((unit) => /^wrenn.*\.service$/.test(unit) && unit !== "wrenn-control-plane.service");
  if (units.length === 0) {
    return [
      {
        name,
        status: "limited",
        found: `no unit wrenn*.service in ${UNIT_DIRECTORY}`,
        consequence: "The platform does not start with the machine",
        hint: "See docs/guides/production.md",
      },
    ];
  }
  return await Promise.all(units.map(describeUnit));
};

async function describeUnit(unit: string): Promise<Finding> {
  const lines = new Set((await readText(join(UNIT_DIRECTORY, unit))).split("\n").map((line) => line.trim()));
  const missing = UNIT_LINES.filter(({ line }) => !lines.has(line));
  if (missing.length === 0) return { name: unit, status: "ok", found: "as in docs/guides/production.md" };
  return {
    name: unit,
    status: "limited",
    found: `without ${missing.map(({ line }) => line).join(", ")}`,
    consequence: missing.map(({ without }) => without).join("; "),
    hint: "See docs/guides/production.md",
  };
}

export const checkOpenFiles: Check = async () => {
  const name = "open files";
  const limit = /^Max open files\s+(\d+)/m.exec(await readText("/proc/self/limits"))?.[1];
  const found = `at most ${limit ?? "any number"}`;
  if (Number(limit ?? Infinity) >= OPEN_FILES_WANTED) return [{ name, status: "ok", found }];
  const consequence = `${OPEN_FILES_WANTED} are room for some thousand sandboxes`;
  return [{ name, status: "limited", found, consequence, hint: "Set LimitNOFILE=infinity in the service's unit" }];
};

export const checkListen: Check = async (config) => {
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

const QEMU_PACKAGE = "qemu-system-x86";

export const checkHeldPackage: Check = async ({ WRENN_VMM: vmm }, signal) => {
  const name = "qemu package";
  if (vmm === "firecracker") return [{ name, status: "ok", found: "not used: WRENN_VMM=firecracker" }];
  const told = await run(["apt-mark", "showhold"], { signal, timeoutMs: 10_000 }).catch(() => undefined);
  if (told?.stdout.split("\n").includes(QEMU_PACKAGE)) return [{ name, status: "ok", found: "on hold" }];
  return [
    {
      name,
      status: "limited",
      found: `${QEMU_PACKAGE} is not on hold`,
      consequence: "An upgrade of it makes what QEMU paused unresumable",
      hint: `Run apt-mark hold ${QEMU_PACKAGE}`,
    },
  ];
};
