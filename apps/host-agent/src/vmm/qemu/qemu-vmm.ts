/**
 * QEMU's microvm machine, with KVM where it is usable and single-threaded TCG elsewhere. What works on
 * which version, and what does not: docs/reference/qemu.md.
 */
import { readFile } from "node:fs/promises";
import { WrennError } from "@wrenn/errors";
import type { Pager } from "../../pager/pager.ts";
import { appears } from "../appears.ts";
import { lastConsoleLines, ShimProcess, type ShimSpec } from "../shim.ts";
import { endedAtStart } from "../vm-exit.ts";
import { isBlockDevice } from "../vmm.ts";
import type { BootSpec, MachineShape, RestoreSpec, VirtualMachine, VmPlacement, Vmm, VmRecord } from "../vmm.ts";
import {
  bootArguments,
  incomingSocketPath,
  machineIdentity,
  qmpSocketPath,
  restoreArguments,
  type QemuInstallation,
} from "./arguments.ts";
import { sendStream } from "./incoming-stream.ts";
import { QemuMachine } from "./qemu-machine.ts";
import { QmpClient } from "./qmp.ts";
import { cancelShortening } from "./shorten-disk.ts";

/** What QEMU takes beside the guest's memory: translated code under TCG, buffers, its own pages. */
const OVERHEAD_MIB = 512;
const MAX_THREADS = 256;
/** One CPU per vCPU and one for devices. */
const CPU_PERIOD_US = 100_000;

export interface QemuVmmOptions extends QemuInstallation {
  version: string;
  /** Model name of the host's CPU. */
  cpuModel: string;
  shimPath: string;
  /** Library that keeps QEMU from writing memory images; see crates/memory-guard. */
  memoryGuardPath: string;
  pager: Pager;
  /** What each VM may read from the host's disk, and write to it. */
  diskBytesPerSecond: number;
}

export class QemuVmm implements Vmm {
  readonly kind = "qemu";
  readonly version: string;
  readonly accelerator: "kvm" | "tcg";
  readonly compatibility: Readonly<Record<string, string>>;
  readonly builds: ReadonlySet<string>;
  readonly #options: QemuVmmOptions;
  readonly #build: string;

  constructor(options: QemuVmmOptions) {
    this.#options = options;
    this.version = options.version;
    this.accelerator = options.accelerator;
    this.#build = `qemu ${options.version}`;
    this.builds = new Set([this.#build]);
    this.compatibility = {
      vmm: this.#build,
      machine: machineIdentity(options),
      cpu: options.cpuModel,
      // Under TCG the guest's clock is the host's TSC at the frequency that it was told at boot.
      ...(options.accelerator === "tcg" ? { tscKhz: String(options.tscKhz) } : {}),
    };
  }

  async boot(spec: BootSpec, signal: AbortSignal): Promise<VirtualMachine> {
    const mounts = [
      { path: spec.memoryPath, read_only: false },
      { path: spec.kernelPath, read_only: true },
      { path: spec.initramfsPath, read_only: true },
    ];
    const record = recordOf(this.#build, spec, spec.shape, "booted", spec.memoryPath);
    return await this.#launch(
      spec,
      record,
      bootArguments(this.#options, spec),
      mounts,
      {},
      async () => undefined,
      signal,
    );
  }

  async restore(spec: RestoreSpec, signal: AbortSignal): Promise<VirtualMachine> {
    const { image, layers } = spec.memory;
    const record = { ...recordOf(this.#build, spec, spec.shape, "restored", image), statePath: spec.statePath };
    const mounts = [
      { path: image, read_only: true },
      { path: this.#options.memoryGuardPath, read_only: true },
    ];
    const env = { LD_PRELOAD: this.#options.memoryGuardPath, WRENN_MEMORY_IMAGE: image };
    const load = async (qmp: QmpClient, pid: number): Promise<void> => {
      const capabilities = ["x-ignore-shared", "events"].map((capability) => ({ capability, state: true }));
      await qmp.execute("migrate-set-capabilities", { capabilities }, signal);
      // Before the devices: a virtio queue is checked against guest memory when it is loaded, and given up
      // for good when the two disagree.
      if (Object.keys(layers.builds).length > 1) await this.#options.pager.inject({ pid, image, layers }, signal);
      const state = await readFile(spec.statePath);
      const loaded = qmp.waitFor(
        ({ event, data }) => event === "MIGRATION" && ["completed", "failed"].includes(String(data["status"])),
        signal,
      );
      loaded.catch(() => undefined);
      await sendStream(incomingSocketPath(spec.directory), state, signal);
      const { data } = await loaded;
      if (data["status"] !== "completed") {
        throw new WrennError("incompatible_snapshot", `Cannot restore ${spec.name}: QEMU refused the device state`);
      }
    };
    return await this.#launch(spec, record, restoreArguments(this.#options, spec), mounts, env, load, signal);
  }

  /** QEMU none; KVM the wall clock, and for each vCPU what was stolen of its time (Documentation/virt/kvm/x86/msr.rst). */
  restoreWritesPages({ vcpus }: MachineShape): number {
    return this.accelerator === "kvm" ? 1 + vcpus : 0;
  }

  /** QEMU is a package of many files: only the installed one is there. */
  async forgetBuilds(): Promise<void> {}

  async adopt(record: VmRecord, signal: AbortSignal): Promise<VirtualMachine | undefined> {
    const process = await ShimProcess.attach(record.supervisionDirectory, signal);
    if (process === undefined) return undefined;
    try {
      const qmp = await QmpClient.connect(qmpSocketPath(record.directory), signal);
      await cancelShortening(qmp); // the agent that began it is gone
      return new QemuMachine(record, process, qmp, this.#options.pager);
    } catch (cause) {
      await process.stop(); // a VM that cannot be spoken to cannot be served
      throw new WrennError("sandbox_unreachable", `Cannot adopt ${record.name}: QEMU does not answer`, { cause });
    }
  }

  /** Starts QEMU, opens its monitor and prepares it; a failure at any step leaves no process. */
  async #launch(
    placement: VmPlacement,
    record: VmRecord,
    argv: string[],
    mounts: ShimSpec["mounts"],
    env: Record<string, string>,
    prepare: (qmp: QmpClient, pid: number) => Promise<void>,
    signal: AbortSignal,
  ): Promise<VirtualMachine> {
    const listening = appears(qmpSocketPath(placement.directory), signal);
    listening.catch(() => undefined);
    const process = await ShimProcess.start(
      this.#options.shimPath,
      this.#shimSpec(placement, record.shape, argv, mounts, env),
      placement.supervisionDirectory,
      signal,
    );
    let qmp: QmpClient | undefined;
    try {
      const died = process.exited.then(async (exit) => {
        throw endedAtStart("QEMU", exit, await lastConsoleLines(placement.supervisionDirectory));
      });
      const ready = listening.then(async () => {
        qmp = await QmpClient.connect(qmpSocketPath(placement.directory), signal);
        await prepare(qmp, process.pid);
        return new QemuMachine(record, process, qmp, this.#options.pager);
      });
      died.catch(() => undefined);
      ready.catch(() => undefined);
      return await Promise.race([ready, died]);
    } catch (error) {
      qmp?.close();
      await process.stop();
      throw error;
    }
  }

  #shimSpec(
    placement: VmPlacement,
    shape: MachineShape,
    argv: string[],
    mounts: ShimSpec["mounts"],
    env: Record<string, string>,
  ): ShimSpec {
    const { networkNamespace, tapName, diskPath } = placement;
    const isDevice = isBlockDevice(diskPath);
    return {
      name: placement.name,
      argv,
      env: { PATH: "/usr/bin", ...env },
      uid: placement.uid,
      gid: placement.uid,
      directory: placement.directory,
      ...(networkNamespace === undefined ? {} : { network_namespace: networkNamespace }),
      ...(tapName === undefined ? {} : { tap: tapName }),
      mounts: [
        ...mounts,
        ...(isDevice ? [] : [{ path: placement.diskDirectory ?? diskPath, read_only: false }]),
        ...placement.diskBackingPaths.map((path) => ({ path, read_only: true })),
      ],
      devices: [...(this.accelerator === "kvm" ? ["/dev/kvm"] : []), ...(isDevice ? [diskPath] : [])],
      cgroup: `wrenn/${placement.name}`,
      memory_max_bytes: (shape.memoryMib + OVERHEAD_MIB) * 1024 * 1024,
      pids_max: MAX_THREADS,
      cpu_max: `${(shape.vcpus + 1) * CPU_PERIOD_US} ${CPU_PERIOD_US}`,
      io_max_bytes_per_second: this.#options.diskBytesPerSecond,
    };
  }
}

function recordOf(
  build: string,
  placement: VmPlacement,
  shape: VmRecord["shape"],
  origin: VmRecord["origin"],
  memoryPath: string,
): VmRecord {
  const { name, directory, supervisionDirectory, diskPath } = placement;
  return { vmm: "qemu", build, name, directory, supervisionDirectory, diskPath, memoryPath, origin, shape };
}
