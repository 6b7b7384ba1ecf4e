/** Prepares the VMM that was chosen for this host (`@wrenn/virtualization`), at start. */
import { mkdir, readFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import { findProgram, run, writeFileAtomic } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { VmmKind, Machine } from "@wrenn/virtualization";
import type { Pager } from "../pager/pager.ts";
import { measureTscKhz, readCpuModel } from "./cpu.ts";
import { FirecrackerVmm } from "./firecracker/firecracker-vmm.ts";
import { keepInstallation, olderInstallations } from "./firecracker/installation.ts";
import { QemuVmm } from "./qemu/qemu-vmm.ts";
import type { Vmm } from "./vmm.ts";

export interface VmmOptions {
  stateDirectory: string;
  /** Name or path. */
  qemu: string;
  searchPath: string;
  shimPath: string;
  memoryGuardPath: string;
  pager: Pager;
  /** What each VM may read from the host's disk, and write to it. */
  diskBytesPerSecond: number;
  /** Firecracker's alone; undefined: any number. */
  diskOperationsPerSecond: number | undefined;
  log: Logger;
}

/** @throws WrennError `missing_requirement` when its program is not there */
export async function openVmm(kind: VmmKind, machine: Machine, options: VmmOptions, signal: AbortSignal): Promise<Vmm> {
  const { program, jailer } = machine.firecracker;
  if (kind === "qemu") return await openQemu(machine, options, signal);
  if (program === undefined)
    throw new WrennError("missing_requirement", "Cannot run VMs: Firecracker is not installed");
  return await openFirecracker(program, jailer?.program, options, signal);
}

async function openFirecracker(
  installed: string,
  jailer: string | undefined,
  options: VmmOptions,
  signal: AbortSignal,
): Promise<Vmm> {
  const { stateDirectory, shimPath, pager, diskBytesPerSecond, diskOperationsPerSecond, log } = options;
  const installation = await keepInstallation(installed, jailer, stateDirectory, signal);
  const { version, programHash } = installation;
  log.info({ operation: "vmm", vmm: "firecracker", version, programHash, jailer, accelerator: "kvm" });
  return new FirecrackerVmm({
    installation,
    older: await olderInstallations(stateDirectory, installation, signal),
    cpuModel: await readCpuModel(),
    hostKernel: release(),
    shimPath,
    pager,
    stateDirectory,
    diskBytesPerSecond,
    diskOperationsPerSecond,
  });
}

async function openQemu({ acceleration }: Machine, options: VmmOptions, signal: AbortSignal): Promise<Vmm> {
  const program = await findProgram(options.qemu, options.searchPath);
  if (program === undefined) {
    throw new WrennError("missing_requirement", `Cannot run VMs: ${options.qemu} is not installed`, {
      hint: "Install the Debian package qemu-system-x86",
    });
  }
  const { accelerator, reason } = acceleration;
  const { stdout } = await run([program, "--version"], { signal });
  const version = /version (.*)/.exec(stdout)?.[1]?.trim() ?? "unknown";
  const tscKhz = await rememberedTscKhz(options, signal);
  options.log.info({ operation: "vmm", vmm: "qemu", version, accelerator, reason, tscKhz });
  const { shimPath, memoryGuardPath, pager, diskBytesPerSecond } = options;
  return new QemuVmm({
    program,
    accelerator,
    tscKhz,
    version,
    cpuModel: await readCpuModel(),
    shimPath,
    memoryGuardPath,
    pager,
    diskBytesPerSecond,
  });
}

/** The TSC frequency, the same number for as long as it is the same clock. */
async function rememberedTscKhz({ stateDirectory, shimPath }: VmmOptions, signal: AbortSignal): Promise<number> {
  const path = join(stateDirectory, "run", "tsc-khz");
  const known = Number(await readFile(path, "utf8").catch(() => ""));
  const tscKhz = await measureTscKhz(shimPath, known > 0 ? known : undefined, signal);
  if (tscKhz !== known) {
    await mkdir(join(stateDirectory, "run"), { recursive: true, mode: 0o700 });
    await writeFileAtomic(path, String(tscKhz));
  }
  return tscKhz;
}
