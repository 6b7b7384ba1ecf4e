/**
 * What the sandboxes and templates of a state directory were made with: `virtualization.json`. A paused sandbox is
 * resumed only by the VMM that paused it, so a Firecracker that is installed later takes over when they are gone.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "@wrenn/effects";
import type { DisksKind, VmmKind } from "./choose.ts";

const FILE = "virtualization.json";

export interface KeptChoice {
  vmm: VmmKind;
  disks: DisksKind;
}

/** Undefined when there is nothing yet, or nothing any more. */
export async function readKeptChoice(stateDirectory: string): Promise<KeptChoice | undefined> {
  const made = await Promise.all(
    ["sandboxes", "templates"].map((kind) => readdir(join(stateDirectory, kind)).catch(() => [])),
  );
  if (made.flat().length === 0) return undefined;
  const text = await readFile(join(stateDirectory, FILE), "utf8").catch(() => undefined);
  // Without the file, they are from before there was a choice.
  return text === undefined ? { vmm: "qemu", disks: "qcow2" } : (JSON.parse(text) as KeptChoice);
}

/** To be called by who makes sandboxes, before the first. */
export async function keepChoice(stateDirectory: string, { vmm, disks }: KeptChoice): Promise<void> {
  await writeFileAtomic(join(stateDirectory, FILE), JSON.stringify({ vmm, disks }));
}
