/**
 * Which VMM runs the VMs of a machine, and how their disks are kept: the operator's word, else the rule that
 * docs/reference/firecracker.md tells.
 */
import { WrennError } from "@wrenn/errors";
import { readKeptChoice, type KeptChoice } from "./kept-choice.ts";
import { examineMachine, type Machine, type MachineQuestion } from "./machine.ts";

export const VMMS = ["qemu", "firecracker"] as const;
export type VmmKind = (typeof VMMS)[number];

export const DISKS = ["qcow2", "device-mapper"] as const;
export type DisksKind = (typeof DISKS)[number];

/** The operator's words; undefined: by the rule. */
export interface Wishes {
  vmm: VmmKind | undefined;
  disks: DisksKind | undefined;
}

export interface Choice {
  vmm: { kind: VmmKind; why: string };
  disks: { kind: DisksKind; why: string };
  /** What was asked for and cannot be: `missing_requirement` or `invalid_request`. The rest then is what would be without. */
  refusal: WrennError | undefined;
}

/** Looks at the machine and at what was made on it, and chooses. */
export async function chooseVirtualization(
  { stateDirectory, ...options }: Wishes & MachineQuestion & { stateDirectory: string },
  signal: AbortSignal,
): Promise<Choice & { machine: Machine }> {
  const machine = await examineMachine(options, signal);
  return { ...choose(options, await readKeptChoice(stateDirectory), machine), machine };
}

/**
 * Firecracker where the machine has all that it needs, and device-mapper where Firecracker runs; else QEMU and qcow2.
 * @param kept what the sandboxes that are there were made with
 */
export function choose(wishes: Wishes, kept: KeptChoice | undefined, machine: Machine): Choice {
  const lack = whatFirecrackerLacks(wishes, machine);
  const vmm = chooseVmm(wishes, kept, lack);
  return {
    vmm,
    disks: chooseDisks(wishes, kept, machine, vmm.kind),
    refusal: refusalOf(wishes, machine, lack, vmm.kind),
  };
}

const KEPT = "what is there was made with it";

function chooseVmm(wishes: Wishes, kept: KeptChoice | undefined, lack: string | undefined): Choice["vmm"] {
  if (wishes.vmm === "qemu") return { kind: "qemu", why: "WRENN_VMM=qemu" };
  if (lack !== undefined) return { kind: "qemu", why: `Firecracker cannot: ${lack}` };
  if (wishes.vmm === "firecracker") return { kind: "firecracker", why: "WRENN_VMM=firecracker" };
  if (kept?.vmm === "qemu") return { kind: "qemu", why: KEPT };
  return { kind: "firecracker", why: "all that it needs is there" };
}

function chooseDisks(
  { disks }: Wishes,
  kept: KeptChoice | undefined,
  { deviceMapperLack }: Machine,
  vmm: VmmKind,
): Choice["disks"] {
  if (disks !== undefined) return { kind: disks, why: `WRENN_DISKS=${disks}` };
  if (vmm === "firecracker") return { kind: "device-mapper", why: "Firecracker needs it" };
  if (kept?.vmm === "qemu" && kept.disks === "device-mapper" && deviceMapperLack === undefined)
    return { kind: "device-mapper", why: KEPT };
  return { kind: "qcow2", why: "QEMU reads it" };
}

function whatFirecrackerLacks({ disks }: Wishes, { firecracker, deviceMapperLack }: Machine): string | undefined {
  if (firecracker.lack !== undefined) return firecracker.lack;
  if (disks === "qcow2") return "it cannot read qcow2 (WRENN_DISKS=qcow2)";
  return deviceMapperLack === undefined ? undefined : `it needs device-mapper: ${deviceMapperLack}`;
}

function refusalOf(
  { vmm, disks }: Wishes,
  machine: Machine,
  lack: string | undefined,
  chosen: VmmKind,
): WrennError | undefined {
  if (vmm === "firecracker" && disks === "qcow2")
    return new WrennError("invalid_request", "Cannot keep disks as qcow2: Firecracker cannot read them", {
      hint: "Leave WRENN_DISKS out, or set WRENN_VMM=qemu",
    });
  if (vmm === "firecracker" && lack !== undefined)
    return new WrennError("missing_requirement", `Cannot run VMs with Firecracker: ${lack}`, {
      hint: "Run ./wrenn doctor, or leave WRENN_VMM out",
    });
  const { jailer, version } = machine.firecracker;
  if (chosen === "firecracker" && jailer?.lack !== undefined)
    return new WrennError("missing_requirement", `Cannot run VMs with the jailer ${jailer.program}: ${jailer.lack}`, {
      hint: `Install the jailer of Firecracker ${version}, or remove it: the shim can do without`,
    });
  if (disks === "device-mapper" && machine.deviceMapperLack !== undefined)
    return new WrennError("missing_requirement", `Cannot use device-mapper: ${machine.deviceMapperLack}`, {
      hint: "Load the module (modprobe dm_snapshot), and install the Debian package dmsetup",
    });
  return undefined;
}
