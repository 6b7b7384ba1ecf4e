/** Chooses how the disks of this host are kept, at start; docs/reference/firecracker.md tells the rule. */
import { readFile } from "node:fs/promises";
import type { Logger } from "pino";
import { run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { DeviceMapperStore } from "./device-mapper/device-mapper-store.ts";
import type { DiskStore } from "./disk-store.ts";
import { Qcow2Store } from "./qcow2/qcow2-store.ts";

export interface DisksChoice {
  /** The operator's word; undefined: by the rule. */
  disks: DiskStore["kind"] | undefined;
  /** Firecracker opens nothing but raw files and block devices. */
  vmm: "qemu" | "firecracker";
  log: Logger;
}

/**
 * Device-mapper where the VMM needs it, or where it is asked for; else qcow2: QEMU on device-mapper has not been seen
 * through a whole life of a sandbox (docs/proof.md).
 * @throws WrennError `missing_requirement` or `invalid_request` when what was asked for cannot be
 */
export async function chooseDisks(choice: DisksChoice, signal: AbortSignal): Promise<DiskStore> {
  const { kind, reason } = await decide(choice, signal);
  choice.log.info({ operation: "disks", disks: kind, reason });
  return kind === "device-mapper" ? new DeviceMapperStore() : new Qcow2Store();
}

async function decide(
  { disks, vmm }: DisksChoice,
  signal: AbortSignal,
): Promise<{ kind: DiskStore["kind"]; reason: string }> {
  if (disks === "qcow2") {
    if (vmm === "qemu") return { kind: "qcow2", reason: "WRENN_DISKS=qcow2" };
    throw new WrennError("invalid_request", "Cannot keep disks as qcow2: Firecracker cannot read them", {
      hint: "Leave WRENN_DISKS out, or set WRENN_VMM=qemu",
    });
  }
  if (disks === undefined && vmm === "qemu") return { kind: "qcow2", reason: "QEMU reads it" };
  const lack = await whatDeviceMapperLacks(signal);
  if (lack === undefined)
    return { kind: "device-mapper", reason: disks === undefined ? "Firecracker needs it" : "WRENN_DISKS" };
  throw new WrennError("missing_requirement", `Cannot use device-mapper: ${lack}`, {
    hint: "Load the module (modprobe dm_snapshot), and install the Debian package dmsetup",
  });
}

/** Why there is no device-mapper here; undefined when it can be used. */
export async function whatDeviceMapperLacks(signal: AbortSignal): Promise<string | undefined> {
  const misc = await readFile("/proc/misc", "utf8").catch(() => "");
  if (!/\bdevice-mapper$/m.test(misc)) return "the kernel has no device-mapper";
  try {
    const { stdout } = await run(["dmsetup", "targets"], { signal, timeoutMs: 10_000 });
    return /^snapshot\s/m.test(stdout) ? undefined : "the kernel has no dm-snapshot";
  } catch (error) {
    signal.throwIfAborted();
    return WrennError.from(error).code === "missing_requirement"
      ? "dmsetup is not installed"
      : `dmsetup says: ${String(error)}`;
  }
}
