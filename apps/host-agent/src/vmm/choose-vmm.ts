/** Chooses and prepares the VMM of this host at start; docs/reference/firecracker.md tells the rule. */
import { mkdir, readFile } from "node:fs/promises";
import { release } from "node:os";
import { join } from "node:path";
import type { Logger } from "pino";
import { findProgram, run, writeFileAtomic } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { whatDeviceMapperLacks } from "../disk/choose-disks.ts";
import type { Pager } from "../pager/pager.ts";
import { chooseAcceleration, measureTscKhz, readCpuModel } from "./acceleration.ts";
import { FirecrackerVmm } from "./firecracker/firecracker-vmm.ts";
import { keepInstallation, versionOf } from "./firecracker/installation.ts";
import { isSupported, OLDEST_SUPPORTED } from "./firecracker/versions.ts";
import { QemuVmm } from "./qemu/qemu-vmm.ts";
import type { Vmm } from "./vmm.ts";

export interface VmmChoice {
  stateDirectory: string;
  /** The operator's word; undefined: by the rule. */
  vmm: "qemu" | "firecracker" | undefined;
  /** The operator's word on disks, which Firecracker cannot have as qcow2. */
  disks: "qcow2" | "device-mapper" | undefined;
  /** The operator's word on KVM; undefined: by the rule. */
  accelerator: "kvm" | "tcg" | undefined;
  /** Names or paths of the two. */
  qemu: string;
  firecracker: string;
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

/**
 * Firecracker where it is asked for; else QEMU.
 * @throws WrennError `missing_requirement` when nothing can run a VM here, or not what was asked for
 */
export async function chooseVmm(choice: VmmChoice, signal: AbortSignal): Promise<Vmm> {
  // No sandbox has been seen through its whole life on Firecracker yet (docs/proof.md): until then it is asked for.
  if (choice.vmm !== "firecracker") return await prepareQemu(choice, "WRENN_VMM does not say firecracker", signal);
  const program = await findProgram(choice.firecracker, choice.searchPath);
  const lack =
    program === undefined ? `${choice.firecracker} is not installed` : await whatItLacks(choice, program, signal);
  if (program !== undefined && lack === undefined) return await prepareFirecracker(choice, program, signal);
  throw new WrennError("missing_requirement", `Cannot run VMs with Firecracker: ${lack}`, {
    hint: "Run ./wrenn doctor, or leave WRENN_VMM out",
  });
}

/** Why Firecracker cannot run here; undefined when it can. */
async function whatItLacks(choice: VmmChoice, program: string, signal: AbortSignal): Promise<string | undefined> {
  const { accelerator, reason } = await chooseAcceleration(choice.accelerator);
  if (accelerator !== "kvm") return `it needs KVM: ${reason}`;
  if (choice.disks === "qcow2") return "it cannot read qcow2 (WRENN_DISKS=qcow2)";
  const version = await versionOf(program, signal).catch((error: unknown) => `that does not run (${String(error)})`);
  if (!isSupported(version)) return `version ${version} is too old: ${OLDEST_SUPPORTED} or newer is needed`;
  return await whatDeviceMapperLacks(signal);
}

async function prepareFirecracker(choice: VmmChoice, program: string, signal: AbortSignal): Promise<Vmm> {
  const { stateDirectory, shimPath, pager, diskBytesPerSecond, diskOperationsPerSecond, log } = choice;
  const installation = await keepInstallation(program, stateDirectory, signal);
  const { version, programHash } = installation;
  log.info({ operation: "vmm", vmm: "firecracker", version, programHash, accelerator: "kvm" });
  return new FirecrackerVmm({
    ...installation,
    cpuModel: await readCpuModel(),
    hostKernel: release(),
    shimPath,
    pager,
    stateDirectory,
    diskBytesPerSecond,
    diskOperationsPerSecond,
  });
}

async function prepareQemu(choice: VmmChoice, why: string, signal: AbortSignal): Promise<Vmm> {
  const program = await findProgram(choice.qemu, choice.searchPath);
  if (program === undefined) {
    throw new WrennError("missing_requirement", `Cannot run VMs: ${choice.qemu} is not installed`, {
      hint: "Install the Debian package qemu-system-x86",
    });
  }
  const { accelerator, reason } = await chooseAcceleration(choice.accelerator);
  const { stdout } = await run([program, "--version"], { signal });
  const version = /version (.*)/.exec(stdout)?.[1]?.trim() ?? "unknown";
  const tscKhz = await rememberedTscKhz(choice, signal);
  choice.log.info({ operation: "vmm", vmm: "qemu", why, version, accelerator, reason, tscKhz });
  const { shimPath, memoryGuardPath, pager, diskBytesPerSecond } = choice;
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
async function rememberedTscKhz({ stateDirectory, shimPath }: VmmChoice, signal: AbortSignal): Promise<number> {
  const path = join(stateDirectory, "run", "tsc-khz");
  const known = Number(await readFile(path, "utf8").catch(() => ""));
  const tscKhz = await measureTscKhz(shimPath, known > 0 ? known : undefined, signal);
  if (tscKhz !== known) {
    await mkdir(join(stateDirectory, "run"), { recursive: true, mode: 0o700 });
    await writeFileAtomic(path, String(tscKhz));
  }
  return tscKhz;
}
