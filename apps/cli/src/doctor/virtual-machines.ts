/** Which VMM and which disks the host agent chooses, and why: its rule, docs/reference/firecracker.md. */
import { readFile } from "node:fs/promises";
import { findProgram, run } from "@wrenn/effects";
import type { CliConfig } from "../config.ts";
import type { Check, Finding } from "./finding.ts";
import { checkKvm } from "./kernel.ts";

/** Diff snapshots were wrong before. */
const OLDEST_FIRECRACKER = [1, 15] as const;

export const checkVirtualMachines: Check = async (config, signal) => {
  const firecracker = await whatFirecrackerLacks(config, signal);
  const deviceMapper = await whatDeviceMapperLacks(config, signal);
  const vmm = chooseVmm(config, firecracker.lack, deviceMapper);
  const disks = chooseDisks(config, vmm.kind);
  return [
    {
      name: "firecracker",
      status: config.WRENN_VMM === "firecracker" && vmm.kind !== "firecracker" ? "missing" : "ok",
      found: firecracker.found,
      ...(firecracker.lack === undefined ? {} : { consequence: `Not used: ${firecracker.lack}` }),
    },
    {
      name: "device-mapper",
      status: config.WRENN_DISKS === "device-mapper" && deviceMapper !== undefined ? "missing" : "ok",
      found: deviceMapper ?? "in the kernel, with snapshots",
    },
    {
      name: "vms",
      status: "ok",
      found: `${vmm.kind === "firecracker" ? "Firecracker" : "QEMU"} on ${disks.kind}`,
      consequence: `${vmm.why}; ${disks.why}`,
      ...unproven(vmm.kind),
    },
  ];
};

const unproven = (kind: "qemu" | "firecracker"): Pick<Finding, "hint"> =>
  kind === "qemu"
    ? {}
    : { hint: "Try it on this machine first: FIRECRACKER_BIN=$(command -v firecracker) ./wrenn test --only nested" };

async function whatFirecrackerLacks(
  config: CliConfig,
  signal: AbortSignal,
): Promise<{ found: string; lack: string | undefined }> {
  const path = await findProgram(config.WRENN_FIRECRACKER, config.env["PATH"] ?? "");
  if (path === undefined) return { found: "not installed", lack: "it is not installed" };
  const told = await run([path, "--version"], { signal, timeoutMs: 10_000 }).catch(() => undefined);
  const [, version = "of no known version", major = "0", minor = "0"] =
    /v((\d+)\.(\d+)\.\d+)/.exec(told?.stdout ?? "") ?? [];
  const found = `${path}, ${version}`;
  const [oldestMajor, oldestMinor] = OLDEST_FIRECRACKER;
  const old = Number(major) < oldestMajor || (Number(major) === oldestMajor && Number(minor) < oldestMinor);
  if (old) return { found, lack: `${OLDEST_FIRECRACKER.join(".")} or newer is needed` };
  if (config.WRENN_ACCEL === "tcg") return { found, lack: "it needs KVM, and WRENN_ACCEL=tcg" };
  const [kvm] = await checkKvm(config, signal);
  return { found, lack: kvm?.status === "ok" ? undefined : `it needs KVM: ${kvm?.found}` };
}

async function whatDeviceMapperLacks(config: CliConfig, signal: AbortSignal): Promise<string | undefined> {
  if (!/\bdevice-mapper$/m.test(await readFile("/proc/misc", "utf8").catch(() => ""))) return "not in this kernel";
  if ((await findProgram("dmsetup", config.env["PATH"] ?? "")) === undefined) return "dmsetup is not installed";
  const targets = await run(["dmsetup", "targets"], { signal, timeoutMs: 10_000 }).catch(() => undefined);
  return /^snapshot\s/m.test(targets?.stdout ?? "") ? undefined : "without snapshots: modprobe dm_snapshot";
}

interface Choice<T> {
  kind: T;
  why: string;
}

function chooseVmm(
  config: CliConfig,
  lack: string | undefined,
  deviceMapper: string | undefined,
): Choice<"qemu" | "firecracker"> {
  if (config.WRENN_VMM === "qemu") return { kind: "qemu", why: "WRENN_VMM=qemu" };
  if (config.WRENN_VMM === undefined)
    return { kind: "qemu", why: "Firecracker is used where WRENN_VMM=firecracker asks" };
  if (lack !== undefined) return { kind: "qemu", why: `no Firecracker: ${lack}` };
  if (config.WRENN_DISKS === "qcow2") return { kind: "qemu", why: "Firecracker reads no qcow2 (WRENN_DISKS)" };
  if (deviceMapper !== undefined) return { kind: "qemu", why: "Firecracker needs device-mapper" };
  return { kind: "firecracker", why: "WRENN_VMM=firecracker" };
}

function chooseDisks(config: CliConfig, vmm: "qemu" | "firecracker"): Choice<"qcow2" | "device-mapper"> {
  if (config.WRENN_DISKS !== undefined) return { kind: config.WRENN_DISKS, why: `WRENN_DISKS=${config.WRENN_DISKS}` };
  return vmm === "firecracker"
    ? { kind: "device-mapper", why: "Firecracker needs it" }
    : { kind: "qcow2", why: "QEMU reads qcow2" };
}
