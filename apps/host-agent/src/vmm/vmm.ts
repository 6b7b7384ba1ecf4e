/**
 * What the host agent asks of a virtual machine monitor. QEMU and Firecracker implement it; one
 * contract suite (`vmm-contract.ts`) runs against both.
 *
 * A VM is a child of its shim, not of the agent: it outlives the agent and is adopted again by its
 * record. Memory is a file of the guest's size: a booted VM writes it (it becomes a template), a
 * restored VM maps it privately and never writes it.
 */

import type { LayerSummary, MemoryFiles, ServedPages } from "../pager/pager-requests.ts";

/** The machine that a VM sees. Equal shapes are needed to restore one VM's state in another. */
export interface MachineShape {
  vcpus: number;
  memoryMib: number;
}

/** Where a VM runs and what it may touch. */
export interface VmPlacement {
  /** Names the VM's cgroup and appears in its records; the sandbox id or `golden-…`. */
  name: string;
  /** Directory that the VMM's user owns and writes: QMP or API socket, device state in transit. Exists. */
  directory: string;
  /** Directory that only root writes: the shim's socket, spec, console and exit record. Exists. */
  supervisionDirectory: string;
  /** Path of the network namespace, or undefined for a VM without a network. */
  networkNamespace: string | undefined;
  /** TAP device inside that namespace. */
  tapName: string | undefined;
  /** MAC address of the guest's interface: constant, for the guest's memory remembers it. */
  macAddress: string;
  /** Unprivileged user and group id of the VMM, its alone. */
  uid: number;
  /** The writable disk: a path given by the DiskStore. */
  diskPath: string;
  /** Files that the disk reads through to, made visible to the VMM read-only. */
  diskBackingPaths: readonly string[];
  /**
   * Directory, which only root writes, that holds the disk and the overlays that the VM is switched to later;
   * without it there is no switching.
   */
  diskDirectory?: string;
}

/** Whether a VM's disk is a block device, which the VMM opens as it is, and not a file of some format. */
export const isBlockDevice = (diskPath: string): boolean => diskPath.startsWith("/dev/");

/** Starts a machine from a kernel. */
export interface BootSpec extends VmPlacement {
  shape: MachineShape;
  kernelPath: string;
  initramfsPath: string;
  /** Kernel command line beyond what the VMM needs itself. */
  kernelArguments: readonly string[];
  /** File that becomes the guest's memory; created at the right size. */
  memoryPath: string;
}

/** Starts a machine from a captured state. */
export interface RestoreSpec extends VmPlacement {
  shape: MachineShape;
  /** The memory that the guest finds. */
  memory: GuestMemory;
  /** Device state of the layer that is restored. */
  statePath: string;
  /** Working set that is installed ahead, where the pager serves the memory. */
  workingSet?: string;
  /** The VMM's build that wrote it, one of `Vmm.builds`; without it, the present one. */
  build?: string;
  /** What the guest can read at its VMM's metadata address, where it has one (Firecracker's MMDS). */
  metadata?: Readonly<Record<string, string>>;
}

/** A guest's memory as layers hold it. */
export interface GuestMemory {
  /** The nearest flat ancestor: a whole memory, mapped privately and never written; one of the builds. */
  image: string;
  layers: MemoryFiles;
}

/** Where a capture is written. */
export interface CaptureTarget {
  statePath: string;
  /** Id of the layer that is made. */
  buildId: string;
  /** The layer's memory file and its header; not used by a booted VM, whose memory image is whole. */
  memoryPath: string;
  headerPath: string;
  /** The layer that the VM was restored from, or the last one captured since. */
  parent: GuestMemory | undefined;
}

/** How a VM ended. */
export interface VmExit {
  /** `exit`: status in `code`; `signal`: name in `signal`; `lost`: its shim died with it. */
  kind: "exit" | "signal" | "lost";
  code?: number;
  signal?: string;
  /** True when the host's kernel killed it for memory. */
  oom?: boolean;
}

/** Everything needed to find a running VM again after a restart of the agent; JSON. */
export interface VmRecord {
  vmm: "qemu" | "firecracker";
  /** The VMM's build that runs it: what it captures is that one's. Absent in records from before: the present one. */
  build?: string;
  name: string;
  directory: string;
  supervisionDirectory: string;
  diskPath: string;
  /** Memory image that it was started on. */
  memoryPath: string;
  /** Device state that it was restored from; undefined for a booted VM. */
  statePath?: string;
  /** `booted` writes its memory image, `restored` maps it privately. */
  origin: "booted" | "restored";
  /** Whether the pager serves its memory, in the session of its name; absent: it has mapped its image. */
  isPaged?: true;
  shape: MachineShape;
}

/** What `capture` wrote. */
export interface Capture {
  /** Bytes of device state. */
  stateBytes: number;
  /** The layer of what differs from the parent; undefined when the memory image is whole already. */
  layer: LayerSummary | undefined;
}

/** A live VM. */
export interface VirtualMachine {
  readonly record: VmRecord;
  /** Process id of the VMM. */
  readonly pid: number;
  /** Settles when the VM has ended, for whatever reason; never rejects. */
  readonly exited: Promise<VmExit>;
  /** Stops the vCPUs; repeating is success. */
  pause(signal: AbortSignal): Promise<void>;
  /** Lets the vCPUs run; repeating is success. */
  resume(signal: AbortSignal): Promise<void>;
  /**
   * Writes the state of the paused VM: device state, and, for a restored VM, the layer of the pages that
   * differ from `parent`. Nothing is flushed: whoever commits the layer does that. The VM stays paused and
   * may be resumed.
   */
  capture(target: CaptureTarget, signal: AbortSignal): Promise<Capture>;
  /**
   * Tells that what was captured last has become a layer. Until it is told it counts as lost, and the next capture
   * holds what was in it too. Never fails: untold, that one is only larger.
   */
  captureCommitted(): Promise<void>;
  /** What the pages were that it got until now; undefined unless the pager serves its memory. */
  servedPages(signal: AbortSignal): Promise<ServedPages | undefined>;
  /**
   * Writes which pages are worth to be installed ahead the next time: what the guest asked for since it was restored,
   * and most of the working set that it was given. Not flushed. The VM may run.
   * @returns false, and writes nothing, unless the pager serves its memory
   */
  saveWorkingSet(path: string, signal: AbortSignal): Promise<boolean>;
  /**
   * Makes the paused VM write to another disk: an empty overlay, in its disk directory, on the one that
   * it wrote until now, which is never written again. What it wrote is in the file.
   */
  switchDisk(overlay: { path: string; backingPaths: readonly string[] }, signal: AbortSignal): Promise<void>;
  /**
   * Lets the disk of a running VM lie on `base`, one of its backing paths: what lies between comes into the disk
   * itself. Aborting ends it early and is harmless; until it has settled the VM must not be paused or switched
   * to another disk.
   * @returns whether it lies on `base` now
   */
  shortenDisk(base: string, signal: AbortSignal): Promise<boolean>;
  /** The disk that the VM writes now: the one it was started with, or the last that it was switched to. */
  currentDiskPath(signal: AbortSignal): Promise<string>;
  /** Flushes what the guest wrote to the disk file. The VM may run. */
  flushDisk(signal: AbortSignal): Promise<void>;
  /** Ends the VM at once; repeating is success. Runs on its own deadline. */
  stop(): Promise<VmExit>;
  /** Lets go of the VM, which goes on and can be adopted; `exited` then never settles. */
  detach(): void;
}

/** A virtual machine monitor. */
export interface Vmm {
  readonly kind: "qemu" | "firecracker";
  readonly version: string;
  readonly accelerator: "kvm" | "tcg";
  /**
   * What must be equal for a captured state to be restored here: VMM build, machine arguments, CPU,
   * and under TCG the TSC frequency.
   */
  readonly compatibility: Readonly<Record<string, string>>;
  /** Builds of the VMM that can restore here, as `compatibility.vmm` names them: the present one, and what was kept of older ones. */
  readonly builds: ReadonlySet<string>;
  /** Most pages of the guest's memory that a restore itself changes, before the first instruction. */
  restoreWritesPages(shape: MachineShape): number;
  /** Starts a machine from a kernel; it runs when this settles. */
  boot(spec: BootSpec, signal: AbortSignal): Promise<VirtualMachine>;
  /** Starts a machine from a state; it is paused when this settles. */
  restore(spec: RestoreSpec, signal: AbortSignal): Promise<VirtualMachine>;
  /** Lets go of the older builds that are not in `needed`. */
  forgetBuilds(needed: ReadonlySet<string>): Promise<void>;
  /** Finds a VM again after a restart; undefined when it has ended. */
  adopt(record: VmRecord, signal: AbortSignal): Promise<VirtualMachine | undefined>;
}
