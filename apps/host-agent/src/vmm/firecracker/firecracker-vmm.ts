/**
 * Firecracker microVMs on KVM. Every VM runs under its shim, with the jailer between them where there is one: its
 * own user, network namespace and cgroup, a root with only its files, Firecracker's own seccomp filters.
 * docs/reference/firecracker.md tells what is used and why.
 */
import { mkdir, symlink } from "node:fs/promises";
import { dirname, join } from "node:path";
import { remove, statIfExists } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { Pager } from "../../pager/pager.ts";
import { appears } from "../appears.ts";
import { connectWhenListening } from "../connect-when-listening.ts";
import { lastConsoleLines, ShimProcess, type ShimSpec } from "../shim.ts";
import { endedAtStart } from "../vm-exit.ts";
import { isBlockDevice } from "../vmm.ts";
import type { BootSpec, MachineShape, RestoreSpec, VirtualMachine, VmPlacement, Vmm, VmRecord } from "../vmm.ts";
import { FirecrackerApi, type RateLimiter, type TokenBucket } from "./api.ts";
import { FirecrackerMachine } from "./firecracker-machine.ts";
import type { FirecrackerInstallation } from "./installation.ts";
import { elfKernelPath, unpackKernel } from "./kernel-image.ts";

/** What Firecracker takes beside the guest's memory. */
const OVERHEAD_MIB = 128;
const MAX_THREADS = 64;
const CPU_PERIOD_US = 100_000;
/** No PCI, no PS/2, one serial port: what the guest need not look for. */
const BOOT_ARGUMENTS = ["console=ttyS0", "pci=off", "8250.nr_uarts=1", "i8042.noaux", "i8042.nomux", "i8042.dumbkbd"];
const DRIVE_ID = "rootfs";
const INTERFACE_ID = "eth0";
/** Where cloud images look for it; only Firecracker answers there, nothing leaves the VM. */
const METADATA = { version: "V2", ipv4_address: "169.254.169.254", network_interfaces: [INTERFACE_ID] } as const;
const REFILL_MS = 1_000;
/** The disk's path is in the snapshot and must be the same in every VM: a link in the VM's own directory. */
const DISK_LINK = "disk";

export interface FirecrackerOptions {
  /** What VMs are started with. */
  installation: FirecrackerInstallation;
  /** What was kept of earlier ones: a snapshot is loaded by the very binary that made it. */
  older: readonly FirecrackerInstallation[];
  cpuModel: string;
  /** `uname -r` of the host: its KVM is part of a snapshot. */
  hostKernel: string;
  shimPath: string;
  pager: Pager;
  /** What each VM may read from the host's disk, and write to it. */
  diskBytesPerSecond: number;
  /** Where the kernels that were unpacked are kept. */
  stateDirectory: string;
  /** Of each VM; undefined: any number. */
  diskOperationsPerSecond: number | undefined;
}

export class FirecrackerVmm implements Vmm {
  readonly kind = "firecracker";
  readonly accelerator = "kvm";
  readonly version: string;
  readonly compatibility: Readonly<Record<string, string>>;
  readonly #options: FirecrackerOptions;

  readonly #build: string;
  /** By build. */
  readonly #installations: Map<string, FirecrackerInstallation>;

  constructor(options: FirecrackerOptions) {
    const { installation, older } = options;
    this.#options = options;
    this.version = installation.version;
    this.#build = nameOf(installation);
    this.#installations = new Map([installation, ...older].map((one) => [nameOf(one), one]));
    this.compatibility = {
      vmm: this.#build,
      machine: BOOT_ARGUMENTS.join(" "),
      cpu: options.cpuModel,
      hostKernel: options.hostKernel,
    };
  }

  get builds(): ReadonlySet<string> {
    return new Set(this.#installations.keys());
  }

  /** The generation id of the machine, what the queues of its devices tell, and what KVM writes: with one vCPU 4 to 6 were seen. */
  restoreWritesPages({ vcpus }: MachineShape): number {
    return 7 + vcpus;
  }

  async forgetBuilds(needed: ReadonlySet<string>): Promise<void> {
    for (const [build, installation] of this.#installations) {
      if (build === this.#build || needed.has(build)) continue;
      this.#installations.delete(build);
      await remove(installation.program, "firecracker.forget");
    }
  }

  async boot(spec: BootSpec, signal: AbortSignal): Promise<VirtualMachine> {
    const kernelPath = await this.#elfKernel(spec.kernelPath);
    const mounts = [
      { path: spec.memoryPath, read_only: false },
      { path: kernelPath, read_only: true },
      { path: spec.initramfsPath, read_only: true },
    ];
    const record = recordOf(this.#build, spec, spec.shape, "booted", spec.memoryPath);
    return await this.#launch(spec, record, mounts, signal, async (api) => {
      const boot_args = [...BOOT_ARGUMENTS, ...spec.kernelArguments].join(" ");
      await api.bootSource({ kernel_image_path: kernelPath, initrd_path: spec.initramfsPath, boot_args }, signal);
      await api.drive(
        {
          drive_id: DRIVE_ID,
          path_on_host: DISK_LINK,
          // The initramfs mounts it; Firecracker would add a root= of its own.
          is_root_device: false,
          is_read_only: false,
          cache_type: "Writeback",
          io_engine: "Sync",
        },
        signal,
      );
      if (spec.tapName !== undefined) {
        const interfaceOfGuest = { iface_id: INTERFACE_ID, host_dev_name: spec.tapName, guest_mac: spec.macAddress };
        await api.networkInterface(interfaceOfGuest, signal);
        await api.mmdsConfiguration({ ...METADATA, network_interfaces: [...METADATA.network_interfaces] }, signal);
      }
      const { vcpus, memoryMib } = spec.shape;
      await api.machineConfiguration(
        { vcpu_count: vcpus, mem_size_mib: memoryMib, smt: false, track_dirty_pages: true },
        signal,
      );
      await api.entropy(signal);
      await api.instanceStart(signal);
    });
  }

  /** One flat memory is mapped from its file, which all its clones share; layers are served by the pager. */
  async restore(spec: RestoreSpec, signal: AbortSignal): Promise<VirtualMachine> {
    const { image, layers } = spec.memory;
    const build = spec.build ?? this.#build;
    const isFlat = Object.keys(layers.builds).length === 1;
    const record: VmRecord = {
      ...recordOf(build, spec, spec.shape, "restored", image),
      statePath: spec.statePath,
      ...(isFlat ? {} : { isPaged: true }),
    };
    const mounts = [{ path: spec.statePath, read_only: true }, ...(isFlat ? [{ path: image, read_only: true }] : [])];
    return await this.#launch(spec, record, mounts, signal, async (api) => {
      const socket = join(spec.directory, "memory.sock");
      if (!isFlat) {
        await remove(socket, "restore.socket");
        const { name, uid, workingSet } = spec;
        const session = { id: name, socket, uid, gid: uid, layers };
        await this.#options.pager.openSession({ ...session, ...(workingSet && { workingSet }) }, signal);
      }
      await api.loadSnapshot(
        {
          snapshot_path: spec.statePath,
          mem_backend: isFlat
            ? { backend_type: "File", backend_path: image }
            : { backend_type: "Uffd", backend_path: socket },
          track_dirty_pages: true,
          resume_vm: false,
        },
        signal,
      );
      // Always: the snapshot may have been made under other limits.
      await api.limitDrive(DRIVE_ID, this.#rateLimiter(), signal);
      if (spec.metadata !== undefined && spec.tapName !== undefined) await api.mmds(spec.metadata, signal);
    });
  }

  async adopt(record: VmRecord, signal: AbortSignal): Promise<VirtualMachine | undefined> {
    const process = await ShimProcess.attach(record.supervisionDirectory, signal);
    if (process === undefined) return undefined;
    return this.#machine(record, process, new FirecrackerApi(apiSocketPath(record.directory)));
  }

  /** Starts Firecracker, waits for its API and prepares it; a failure at any step leaves no process. */
  async #launch(
    placement: VmPlacement,
    record: VmRecord,
    mounts: ShimSpec["mounts"],
    signal: AbortSignal,
    prepare: (api: FirecrackerApi) => Promise<void>,
  ): Promise<VirtualMachine> {
    const { directory, supervisionDirectory, diskPath } = placement;
    const socketPath = apiSocketPath(directory);
    await remove(socketPath, "vm.socket");
    await remove(join(directory, DISK_LINK), "vm.disk");
    await symlink(diskPath, join(directory, DISK_LINK));
    const listening = appears(socketPath, signal);
    listening.catch(() => undefined);
    const spec = this.#shimSpec(placement, record, mounts);
    const process = await ShimProcess.start(this.#options.shimPath, spec, supervisionDirectory, signal);
    const api = new FirecrackerApi(socketPath);
    try {
      const died = process.exited.then(async (exit) => {
        throw endedAtStart("Firecracker", exit, await lastConsoleLines(supervisionDirectory));
      });
      died.catch(() => undefined);
      const answering = listening.then(async () => await connectWhenListening(socketPath, signal));
      answering.catch(() => undefined);
      (await Promise.race([answering, died])).destroy();
      // Not raced: a refusal says more than the end that follows it.
      await prepare(api);
      return this.#machine(record, process, api);
    } catch (error) {
      api.close();
      await process.stop();
      await this.#options.pager.closeSession(placement.name);
      signal.throwIfAborted();
      throw error;
    }
  }

  #machine(record: VmRecord, process: ShimProcess, api: FirecrackerApi): VirtualMachine {
    return new FirecrackerMachine(record, process, api, this.#options.pager);
  }

  #shimSpec(placement: VmPlacement, { build, shape }: VmRecord, mounts: ShimSpec["mounts"]): ShimSpec {
    const { networkNamespace, diskPath } = placement;
    const program = this.#installations.get(build ?? this.#build)?.program;
    if (program === undefined)
      throw new WrennError("incompatible_snapshot", `Cannot start ${placement.name}: ${build} was not kept`);
    const { jailer } = this.#options.installation;
    const isDevice = isBlockDevice(diskPath);
    return {
      name: placement.name,
      ...(jailer === undefined ? {} : { jailer }),
      argv: [program, "--api-sock", apiSocketPath(placement.directory), "--level", "Error"],
      env: {},
      uid: placement.uid,
      gid: placement.uid,
      directory: placement.directory,
      ...(networkNamespace === undefined ? {} : { network_namespace: networkNamespace }),
      mounts: [
        ...mounts,
        ...(program.startsWith("/usr/") ? [] : [{ path: program, read_only: true }]),
        ...(isDevice ? [] : [{ path: diskPath, read_only: false }]),
      ],
      devices: [
        "/dev/kvm",
        "/dev/userfaultfd",
        ...(placement.tapName === undefined ? [] : ["/dev/net/tun"]),
        ...(isDevice ? [diskPath] : []),
      ],
      cgroup: `wrenn/${placement.name}`,
      memory_max_bytes: (shape.memoryMib + OVERHEAD_MIB) * 1024 * 1024,
      pids_max: MAX_THREADS,
      cpu_max: `${(shape.vcpus + 1) * CPU_PERIOD_US} ${CPU_PERIOD_US}`,
      io_max_bytes_per_second: this.#options.diskBytesPerSecond,
    };
  }

  #rateLimiter(): RateLimiter {
    const { diskBytesPerSecond, diskOperationsPerSecond } = this.#options;
    const bucket = (perSecond: number | undefined): TokenBucket =>
      perSecond === undefined ? { size: 0, refill_time: 0 } : { size: perSecond, refill_time: REFILL_MS };
    return { bandwidth: bucket(diskBytesPerSecond), ops: bucket(diskOperationsPerSecond) };
  }

  /** The kernel unpacked, once for each that is used. */
  async #elfKernel(kernelPath: string): Promise<string> {
    const path = elfKernelPath(this.#options.stateDirectory, kernelPath);
    if ((await statIfExists(path)) === undefined) {
      await mkdir(dirname(path), { recursive: true, mode: 0o755 });
      await unpackKernel(kernelPath, path);
    }
    return path;
  }
}

export const apiSocketPath = (directory: string): string => join(directory, "api.sock");

const nameOf = ({ version, programHash }: FirecrackerInstallation): string => `firecracker ${version} ${programHash}`;

function recordOf(
  build: string,
  placement: VmPlacement,
  shape: MachineShape,
  origin: VmRecord["origin"],
  memoryPath: string,
): VmRecord {
  const { name, directory, supervisionDirectory, diskPath } = placement;
  return { vmm: "firecracker", build, name, directory, supervisionDirectory, diskPath, memoryPath, origin, shape };
}
