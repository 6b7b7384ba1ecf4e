/**
 * The Firecracker that is installed, kept by its hash: a snapshot is loaded by the very binary that made it,
 * also after the package was upgraded, below a running agent or between two.
 */
import { createHash } from "node:crypto";
import { chmod, mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { copyFile, remove, rename, statIfExists } from "@wrenn/effects";
import { firecrackerVersionOf, requireSupported } from "@wrenn/virtualization";

const KEPT = /^firecracker-([0-9a-f]{64})$/;

export interface FirecrackerInstallation {
  /** Absolute path of the kept binary. */
  program: string;
  version: string;
  /** SHA-256 of the binary, hex. */
  programHash: string;
  /** Absolute path of the kept jailer, through which it and what was kept before are started. */
  jailer?: string;
}

const directoryOf = (stateDirectory: string): string => join(stateDirectory, "firecracker");

/** @throws WrennError `unsupported` when its version is too old, or it does not tell one */
export async function keepInstallation(
  program: string,
  jailer: string | undefined,
  stateDirectory: string,
  signal: AbortSignal,
): Promise<FirecrackerInstallation> {
  const version = await firecrackerVersionOf(program, signal);
  requireSupported(version);
  const directory = directoryOf(stateDirectory);
  const { hash: programHash, kept } = await keep(program, "firecracker", directory);
  return {
    program: kept,
    version,
    programHash,
    // No snapshot needs it. It is kept so that an upgrade changes nothing below an agent that runs.
    ...(jailer === undefined ? {} : { jailer: (await keep(jailer, "jailer", directory)).kept }),
  };
}

async function keep(program: string, name: string, directory: string): Promise<{ hash: string; kept: string }> {
  const hash = createHash("sha256")
    .update(await readFile(program))
    .digest("hex");
  const kept = join(directory, `${name}-${hash}`);
  if ((await statIfExists(kept)) === undefined) {
    await mkdir(directory, { recursive: true, mode: 0o711 });
    const temporary = `${kept}.${process.pid}.tmp`;
    await remove(temporary, "firecracker.keep");
    await copyFile(program, temporary, "firecracker.keep");
    await chmod(temporary, 0o555);
    await rename(temporary, kept, "firecracker.keep");
  }
  return { hash, kept };
}

/** What was kept before `present`. A jailer that was replaced, and what an agent that died left half-copied, is removed. */
export async function olderInstallations(
  stateDirectory: string,
  present: FirecrackerInstallation,
  signal: AbortSignal,
): Promise<FirecrackerInstallation[]> {
  const directory = directoryOf(stateDirectory);
  const older: FirecrackerInstallation[] = [];
  for (const name of await readdir(directory)) {
    const program = join(directory, name);
    const programHash = KEPT.exec(name)?.[1];
    if (program === present.jailer) continue;
    if (programHash === undefined) await remove(program, "firecracker.sweep");
    else if (programHash !== present.programHash)
      older.push({
        program,
        programHash,
        version: await firecrackerVersionOf(program, signal).catch(() => "that does not run"),
      });
  }
  return older;
}
