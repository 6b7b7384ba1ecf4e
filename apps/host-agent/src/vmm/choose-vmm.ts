/** Chooses and prepares the VMM of this host at start. */
import { access, constants, mkdir, readFile } from "node:fs/promises";
import { delimiter, isAbsolute, join } from "node:path";
import type { Logger } from "pino";
import { run, writeFileAtomic } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { chooseAcceleration, measureTscKhz, readCpuModel } from "./acceleration.ts";
import type { Pager } from "../pager/pager.ts";
import { QemuVmm } from "./qemu/qemu-vmm.ts";
import type { Vmm } from "./vmm.ts";

export interface VmmChoice {
  stateDirectory: string;
  /** The operator's word on KVM; undefined: by the rule. */
  accelerator: "kvm" | "tcg" | undefined;
  /** Name or path of QEMU. */
  qemu: string;
  searchPath: string;
  shimPath: string;
  memoryGuardPath: string;
  pager: Pager;
  /** What each VM may read from the host's disk, and write to it. */
  diskBytesPerSecond: number;
  log: Logger;
}

/** @throws WrennError `missing_requirement` when nothing can run a VM here */
export async function chooseVmm(choice: VmmChoice, signal: AbortSignal): Promise<Vmm> {
  const program = await findProgram(choice.qemu, choice.searchPath);
  const { accelerator, reason } = await chooseAcceleration(choice.accelerator);
  const { stdout } = await run([program, "--version"], { signal });
  const version = /version (.*)/.exec(stdout)?.[1]?.trim() ?? "unknown";
  const tscKhz = await rememberedTscKhz(choice, signal);
  choice.log.info({ operation: "vmm", vmm: "qemu", version, accelerator, reason, tscKhz });
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

async function findProgram(name: string, searchPath: string): Promise<string> {
  const candidates = isAbsolute(name) ? [name] : searchPath.split(delimiter).map((directory) => join(directory, name));
  for (const candidate of candidates) {
    if (
      await access(candidate, constants.X_OK).then(
        () => true,
        () => false,
      )
    )
      return candidate;
  }
  throw new WrennError("missing_requirement", `Cannot run VMs: ${name} is not installed`, {
    hint: "Install the Debian package qemu-system-x86",
  });
}
