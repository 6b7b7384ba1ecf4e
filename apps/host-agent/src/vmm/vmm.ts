/**
 * What the host agent asks of a virtual machine monitor. QEMU and Firecracker implement it; one
 * contract suite (`vmm-contract.ts`) runs against both.
 *
 * A VM is a child of its shim, not of the agent: it outlives the agent and is adopted again by its
 * record. Memory is a file of the guest's size: a booted VM writes it (it becomes a template), a
 * restored VM maps it privately and never writes it.
 */

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
}

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
  /** Flat memory image of the nearest base, mapped privately; never written. */
  memoryPath: string;
  /** Device state of the layer that is restored. */
  statePath: string;
  /** Changed pages to put over the base before the guest runs. */
  changes?: MemoryChanges;
}

/** Pages of a layer: a file and the runs that it holds. */
export interface MemoryChanges {
  path: string;
  runs: readonly MemoryRun[];
}

/** A run of bytes: where it is in guest memory, and where in the file (undefined: zeros). */
export interface MemoryRun {
  offset: number;
  length: number;
  storageOffset: number | undefined;
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
  shape: MachineShape;
}

/** What `capture` wrote. */
export interface Capture {
  /** Bytes of device state. */
  stateBytes: number;
  /** Runs written to the memory file, sorted; undefined when the memory image is whole already. */
  runs: readonly MemoryRun[] | undefined;
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
   * Writes the state of the paused VM: device state to `statePath`, and, for a restored VM, the pages
   * that differ from its base to `memoryPath` (identity offsets; a zeroed page is a run of zeros).
   * The VM stays paused and may be resumed.
   */
  capture(target: { statePath: string; memoryPath: string }, signal: AbortSignal): Promise<Capture>;
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
  /** Starts a machine from a kernel; it runs when this settles. */
  boot(spec: BootSpec, signal: AbortSignal): Promise<VirtualMachine>;
  /** Starts a machine from a state; it is paused when this settles. */
  restore(spec: RestoreSpec, signal: AbortSignal): Promise<VirtualMachine>;
  /** Finds a VM again after a restart; undefined when it has ended. */
  adopt(record: VmRecord, signal: AbortSignal): Promise<VirtualMachine | undefined>;
}
