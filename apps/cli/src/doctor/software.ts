/** Programs: Debian packages, QEMU's version, our own binaries. */
import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { findProgram, run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { Check } from "./finding.ts";

/** A line of tools/debian-packages.txt. */
interface DebianPackage {
  name: string;
  /** A program in PATH, or an absolute path. */
  probe: string;
  reason: string;
}

/** Reads the list that the launcher installs from. */
async function readDebianPackages(root: string): Promise<DebianPackage[]> {
  const text = await readFile(join(root, "tools/debian-packages.txt"), "utf8");
  return [...text.matchAll(/^(?!#)(\S+) +(\S+) +(.+)$/gm)].map(([, name = "", probe = "", reason = ""]) => ({
    name,
    probe,
    reason,
  }));
}

export const checkPackages: Check = async (config) => {
  const missing: DebianPackage[] = [];
  const all = await readDebianPackages(config.root);
  for (const entry of all) {
    const found = entry.probe.startsWith("/")
      ? await access(entry.probe).then(
          () => entry.probe,
          () => undefined,
        )
      : await findProgram(entry.probe, config.env["PATH"] ?? "");
    if (found === undefined) missing.push(entry);
  }
  if (missing.length === 0) return [{ name: "packages", status: "ok", found: `all ${all.length} Debian packages` }];
  return missing.map(({ name, probe, reason }) => ({
    name: `package ${name}`,
    status: "missing",
    found: `${probe} is not there`,
    consequence: reason,
    hint: `./wrenn run and ./wrenn up install it; by hand: apt-get install --no-install-recommends ${name}`,
  }));
};

/** Debian 12's; the oldest that was tried. */
const OLDEST_QEMU = [7, 2] as const;

export const checkQemu: Check = async (config, signal) => {
  const name = "qemu";
  try {
    const { stdout } = await run([config.WRENN_QEMU, "--version"], { signal, timeoutMs: 10_000 });
    const [, version = "?", major = "0", minor = "0"] = /version ((\d+)\.(\d+)\S*)/.exec(stdout) ?? [];
    const old = Number(major) < OLDEST_QEMU[0] || (Number(major) === OLDEST_QEMU[0] && Number(minor) < OLDEST_QEMU[1]);
    const found = `QEMU ${version} (${config.WRENN_QEMU})`;
    if (!old) return [{ name, status: "ok", found }];
    return [
      {
        name,
        status: "missing",
        found,
        consequence: "Too old to restore VMs",
        hint: "Use QEMU 7.2 or newer (WRENN_QEMU)",
      },
    ];
  } catch (error) {
    const { code, message } = WrennError.from(error);
    const found = code === "missing_requirement" ? `${config.WRENN_QEMU} is not installed` : message;
    return [{ name, status: "missing", found, consequence: "No VM can run", hint: "apt-get install qemu-system-x86" }];
  }
};

export const checkBinaries: Check = async (config) => {
  const directory = "target/x86_64-unknown-linux-gnu/release";
  const missing: string[] = [];
  for (const binary of ["envd", "wrenn-shim"]) {
    await access(join(config.root, directory, binary)).catch(() => missing.push(binary));
  }
  if (missing.length === 0) return [{ name: "binaries", status: "ok", found: directory }];
  return [
    {
      name: "binaries",
      status: "limited",
      found: `${missing.join(" and ")} not built`,
      consequence: "./wrenn run and ./wrenn up build them first",
    },
  ];
};
