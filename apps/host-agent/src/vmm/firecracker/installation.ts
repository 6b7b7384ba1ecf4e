/**
 * The Firecracker that is installed, kept by its hash: a snapshot is loaded by the very binary that made it,
 * also after the package was upgraded below a running agent.
 */
import { createHash } from "node:crypto";
import { chmod, mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { copyFile, remove, rename, run, statIfExists } from "@wrenn/effects";
import { requireSupported } from "./versions.ts";

export interface FirecrackerInstallation {
  /** Absolute path of the kept binary. */
  program: string;
  version: string;
  /** SHA-256 of the binary, hex. */
  programHash: string;
}

/** @throws WrennError `unsupported` when its version is too old, or it does not tell one */
export async function keepInstallation(
  program: string,
  stateDirectory: string,
  signal: AbortSignal,
): Promise<FirecrackerInstallation> {
  const version = await versionOf(program, signal);
  requireSupported(version);
  const programHash = createHash("sha256")
    .update(await readFile(program))
    .digest("hex");
  const directory = join(stateDirectory, "firecracker");
  const kept = join(directory, `firecracker-${programHash}`);
  if ((await statIfExists(kept)) === undefined) {
    await mkdir(directory, { recursive: true, mode: 0o711 });
    const temporary = `${kept}.${process.pid}.tmp`;
    await remove(temporary, "firecracker.keep");
    await copyFile(program, temporary, "firecracker.keep");
    await chmod(temporary, 0o555);
    await rename(temporary, kept, "firecracker.keep");
  }
  return { program: kept, version, programHash };
}

/** `x.y.z`, or `unknown`. */
export async function versionOf(program: string, signal: AbortSignal): Promise<string> {
  const { stdout } = await run([program, "--version"], { signal, timeoutMs: 30_000 });
  return /v(\d+\.\d+\.\d+)/.exec(stdout)?.[1] ?? "unknown";
}
