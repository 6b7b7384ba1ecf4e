/**
 * QEMU's command line. Restoring needs the same machine as the one that was captured, so everything
 * that shapes the machine is built here, in one place, for booting and restoring alike; its hash is
 * part of the compatibility key. What was measured: docs/reference/qemu.md.
 */
import { join } from "node:path";
import { isBlockDevice, type BootSpec, type MachineShape, type RestoreSpec, type VmPlacement } from "../vmm.ts";

export interface QemuInstallation {
  /** Absolute path of the binary. */
  program: string;
  accelerator: "kvm" | "tcg";
  /** Frequency of the host's TSC, which a guest under TCG must be told. */
  tscKhz: number;
}

/** Name of the disk in QEMU's monitor. */
export const DISK_ID = "disk0";
/** Of the names of overlays that it was switched to. */
export const OVERLAY_NODE_PREFIX = "overlay-";

export const qmpSocketPath = (directory: string): string => join(directory, "qmp.sock");
export const incomingSocketPath = (directory: string): string => join(directory, "incoming.sock");

/** An overlay as the monitor is told of it, like the drive of the command line; QEMU knows what it lies on. */
export function overlayNode(nodeName: string, path: string): Record<string, unknown> {
  return {
    driver: "qcow2",
    "node-name": nodeName,
    discard: "unmap",
    backing: null,
    file: { driver: "file", filename: path },
  };
}

/** Arguments that shape the machine. */
function machineArguments(qemu: QemuInstallation, shape: MachineShape): string[] {
  // Multi-threaded TCG corrupts programs that write code at run time, such as Node's.
  const accelerator = qemu.accelerator === "kvm" ? "kvm" : "tcg,thread=single";
  return [
    "-machine",
    "microvm,rtc=on,acpi=on,memory-backend=ram,mem-merge=off,suppress-vmdesc=on",
    "-accel",
    accelerator,
    "-cpu",
    qemu.accelerator === "kvm" ? "host" : "max",
    "-smp",
    String(shape.vcpus),
    "-m",
    `${shape.memoryMib}M`,
    "-nodefaults",
    "-no-user-config",
    "-display",
    "none",
    // A reset would start a restored guest without its kernel: end the VM instead.
    "-no-reboot",
    "-sandbox",
    "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny",
    "-chardev",
    "stdio,id=console,signal=off",
    "-serial",
    "chardev:console",
  ];
}

function deviceArguments(placement: VmPlacement): string[] {
  const network =
    placement.tapName === undefined
      ? []
      : ["-netdev", "tap,id=net0,fd={tap_fd}", "-device", `virtio-net-device,netdev=net0,mac=${placement.macAddress}`];
  return [
    "-drive",
    `id=${DISK_ID},file=${placement.diskPath},format=${isBlockDevice(placement.diskPath) ? "raw" : "qcow2"},if=none,cache=writeback,discard=unmap`,
    "-device",
    `virtio-blk-device,drive=${DISK_ID}`,
    ...network,
    "-qmp",
    `unix:${qmpSocketPath(placement.directory)},server=on,wait=off`,
  ];
}

function memoryArguments(shape: MachineShape, path: string, share: "on" | "off"): string[] {
  return ["-object", `memory-backend-file,id=ram,size=${shape.memoryMib}M,mem-path=${path},share=${share},merge=off`];
}

/** Arguments to boot; the guest's memory is written through to its file. */
export function bootArguments(qemu: QemuInstallation, spec: BootSpec): [string, ...string[]] {
  // Without KVM the guest can calibrate its clock against nothing and hangs unless it is told.
  const clock = qemu.accelerator === "tcg" ? [`tsc_early_khz=${qemu.tscKhz}`, "no_timer_check"] : [];
  return [
    qemu.program,
    ...machineArguments(qemu, spec.shape),
    ...memoryArguments(spec.shape, spec.memoryPath, "on"),
    ...deviceArguments(spec),
    "-kernel",
    spec.kernelPath,
    "-initrd",
    spec.initramfsPath,
    "-append",
    ["console=ttyS0", ...clock, ...spec.kernelArguments].join(" "),
  ];
}

/** Arguments to restore; the guest's memory is mapped privately over the image. */
export function restoreArguments(qemu: QemuInstallation, spec: RestoreSpec): [string, ...string[]] {
  return [
    qemu.program,
    ...machineArguments(qemu, spec.shape),
    ...memoryArguments(spec.shape, spec.memory.image, "off"),
    ...deviceArguments(spec),
    // Device state saved by xen-save-devices-state says "running" whatever the VM was.
    "-S",
    "-incoming",
    `unix:${incomingSocketPath(spec.directory)}`,
  ];
}

/** What the compatibility key remembers of the arguments: the machine without its paths. */
export function machineIdentity(qemu: QemuInstallation): string {
  return [...machineArguments(qemu, { vcpus: 0, memoryMib: 0 }), "virtio-blk-device", "virtio-net-device"].join(" ");
}
