/**
 * The guest for tests: one directory per machine, so that it is built once, and directories of one's
 * own that borrow its finished steps.
 */
import { spawnSync } from "node:child_process";
import { mkdir, mkdtemp, readdir } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { ensureGuest, type EnsureGuestOptions } from "../build/ensure-guest.ts";
import type { GuestManifest } from "../build/manifest.ts";
import { progressFor, type GuestProgress } from "../build/progress.ts";

export const REPOSITORY = join(import.meta.dirname, "../..");
const RELEASE = join(REPOSITORY, "target/x86_64-unknown-linux-gnu/release");
export const ENVD_PATH = join(RELEASE, "envd");
export const SHIM_PATH = join(RELEASE, "wrenn-shim");
export const SHARED_DIRECTORY = process.env["WRENN_TEST_GUEST_DIR"] ?? "/var/lib/wrenn-test";

/** Builds the shared guest if it is not there; its options can be used again. */
export async function sharedGuest(): Promise<EnsureGuestOptions> {
  const options = sharedOptions();
  await ensureGuest(options);
  return options;
}

/** The read-only disk image of the shared guest's template `base`, built if it is not there. */
export async function sharedBaseImage(signal?: AbortSignal): Promise<string> {
  const { templates } = await ensureGuest(sharedOptions(signal));
  return templates.find(({ name }) => name === "base")!.rootfsPath;
}

function sharedOptions(signal = new AbortController().signal): EnsureGuestOptions {
  return { stateDirectory: SHARED_DIRECTORY, envdPath: ENVD_PATH, progress: progressFor(process.stderr), signal };
}

/** A new state directory that has the shared guest's finished steps of these names, hard-linked. */
export async function borrowSteps(names: readonly string[]): Promise<string> {
  const current = stepsNamedBy(await ensureGuest(sharedOptions()));
  const stateDirectory = await mkdtemp(join(dirname(SHARED_DIRECTORY), "wrenn-guest-test-"));
  const steps = join(stateDirectory, "guest/steps");
  await mkdir(steps, { recursive: true });
  for (const step of await readdir(join(SHARED_DIRECTORY, "guest/steps"))) {
    // Steps of other checkouts' guests stay beside them; of trees there is one each.
    if (!names.some((name) => step.startsWith(`${name}-`)) || !(step.startsWith("tree-") || current.has(step)))
      continue;
    const copied = spawnSync("cp", ["--archive", "--link", join(SHARED_DIRECTORY, "guest/steps", step), steps]);
    if (copied.status !== 0) throw new Error(`Cannot link ${step}: ${copied.stderr.toString()}`);
  }
  return stateDirectory;
}

function stepsNamedBy({ kernelPath, initramfsPath, templates }: GuestManifest): ReadonlySet<string> {
  const files = [kernelPath, initramfsPath, ...templates.map(({ rootfsPath }) => rootfsPath)];
  return new Set(files.map((path) => basename(dirname(path))));
}

/** A progress that keeps the names of the steps that were built, and the notes. */
export function recordProgress(
  onStep: (name: string) => void = () => {},
): GuestProgress & { steps: string[]; notes: string[] } {
  const steps: string[] = [];
  const notes: string[] = [];
  return {
    steps,
    notes,
    step(name) {
      steps.push(name);
      onStep(name);
    },
    update() {},
    done() {},
    failed() {},
    note: (text) => notes.push(text),
  };
}
