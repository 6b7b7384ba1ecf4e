/** Firecracker's jailer, through which the shim starts it where there is one: docs/reference/firecracker.md. */
import { access } from "node:fs/promises";
import { dirname, join } from "node:path";
import { findProgram } from "@wrenn/effects";
import { firecrackerVersionOf } from "./firecracker-versions.ts";

export interface JailerFound {
  /** Path, or the name that was asked for. */
  program: string;
  /** Why it cannot be used; undefined when it can. */
  lack: string | undefined;
}

/**
 * The one that is named, else the one beside Firecracker.
 * @returns undefined when neither is there: then the shim does without
 */
export async function findJailer(
  jailer: string | undefined,
  firecracker: { program: string; version: string },
  searchPath: string,
  signal: AbortSignal,
): Promise<JailerFound | undefined> {
  const program = jailer ?? join(dirname(firecracker.program), "jailer");
  const isThere = jailer !== undefined || (await exists(program));
  if (!isThere) return undefined;
  const found = await findProgram(program, searchPath);
  if (found === undefined) return { program, lack: "it is not a program that is installed" };
  const version = await firecrackerVersionOf(found, signal).catch(() => "unknown");
  signal.throwIfAborted();
  if (version === "unknown") return { program: found, lack: "it does not tell its version" };
  const isSame = version === firecracker.version;
  return {
    program: found,
    lack: isSame ? undefined : `it is of ${version}, and Firecracker of ${firecracker.version}`,
  };
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
