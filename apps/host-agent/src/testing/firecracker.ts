/** Firecracker for tests that run in the testbed; `FIRECRACKER_BIN` names a binary, for the repository has none. */
import { existsSync } from "node:fs";
import { readFile, rm } from "node:fs/promises";
import { release } from "node:os";
import { dirname, join } from "node:path";
import { SHIM_PATH } from "../binaries.ts";
import type { Pager } from "../pager/pager.ts";
import { readCpuModel } from "../vmm/cpu.ts";
import { FirecrackerApi } from "../vmm/firecracker/api.ts";
import { apiSocketPath, FirecrackerVmm } from "../vmm/firecracker/firecracker-vmm.ts";
import { keepInstallation, olderInstallations } from "../vmm/firecracker/installation.ts";
import type { VirtualMachine } from "../vmm/vmm.ts";

const BINARY = process.env["FIRECRACKER_BIN"];
/** Path of the binary, where there is one. */
export const firecrackerBinary = BINARY ?? "firecracker";

/** Whether there is a binary; without one, says in one line that tests are skipped. */
export function hasFirecracker(): boolean {
  if (BINARY === undefined) console.log("SKIPPED Firecracker, unproven here: set FIRECRACKER_BIN to its binary");
  return BINARY !== undefined;
}

/** The jailer beside the binary; without one, says in one line that its tests are skipped. */
export function jailerBinary(): string | undefined {
  const jailer = join(dirname(firecrackerBinary), "jailer");
  if (BINARY !== undefined && existsSync(jailer)) return jailer;
  console.log("SKIPPED Firecracker's jailer, unproven here: there is none beside FIRECRACKER_BIN");
  return undefined;
}

export async function openFirecracker(
  stateDirectory: string,
  pager: Pager,
  { program = firecrackerBinary, jailer }: { program?: string; jailer?: string | undefined } = {},
): Promise<FirecrackerVmm> {
  const signal = AbortSignal.timeout(60_000);
  const installation = await keepInstallation(program, jailer, stateDirectory, signal);
  return new FirecrackerVmm({
    installation,
    older: await olderInstallations(stateDirectory, installation, signal),
    cpuModel: await readCpuModel(),
    hostKernel: release(),
    shimPath: SHIM_PATH,
    pager,
    stateDirectory,
    diskBytesPerSecond: 256 * 1024 * 1024,
    diskOperationsPerSecond: undefined,
  });
}

/** All memory of a paused guest, also of one whose pages are still to come: Firecracker reads it for a whole snapshot. */
export async function memoryOfFirecracker({ record: { directory } }: VirtualMachine): Promise<Buffer> {
  const api = new FirecrackerApi(apiSocketPath(directory));
  const [state, memory] = [join(directory, "whole.state"), join(directory, "whole")];
  try {
    await api.createSnapshot(
      { snapshot_path: state, mem_file_path: memory, snapshot_type: "Full" },
      AbortSignal.timeout(120_000),
    );
    return await readFile(memory);
  } finally {
    api.close();
    await Promise.all([rm(state, { force: true }), rm(memory, { force: true })]);
  }
}
