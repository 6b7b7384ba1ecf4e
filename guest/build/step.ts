/**
 * Build steps. A step's directory is named by the SHA-256 of its inputs, made under a temporary name
 * and published by rename: what has its final name is whole, and equal inputs are never built twice.
 */
import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { publishDirectory, remove, statIfExists } from "@wrenn/effects";
import type { DebianArchive } from "./archive.ts";
import type { GuestProgress } from "./progress.ts";

/** What a step's recipe gets to work with. */
export interface StepTools {
  /** Debian's archive as this host reaches it; its index is fetched on first use, once per build. */
  archive: () => Promise<DebianArchive>;
  progress: GuestProgress;
  signal: AbortSignal;
}

/** A step: what it depends on, and how its directory is filled. */
export interface Step {
  /** Such as `tree-base`. */
  name: string;
  /** For people: `Debian packages of base`. */
  detail: string;
  /** Everything that decides what comes out; texts or digests. */
  inputs: Readonly<Record<string, string>>;
  /** Fills the (empty) directory; returns a short text about the result, such as its size. */
  build(directory: string, tools: StepTools): Promise<string>;
}

/** Prefix of directories that are being built; whatever has it after a build is a leftover. */
export const TEMPORARY_PREFIX = "tmp.";

/** SHA-256 over the step's name and inputs, hex. */
export function stepHash(step: Step): string {
  return createHash("sha256")
    .update(
      JSON.stringify([
        step.name,
        Object.keys(step.inputs)
          .sort()
          .map((key) => [key, step.inputs[key]]),
      ]),
    )
    .digest("hex");
}

/** The directory that a step has, or will have, below `stepsDirectory`. */
export function stepDirectory(stepsDirectory: string, step: Step): string {
  return join(stepsDirectory, `${step.name}-${stepHash(step).slice(0, 16)}`);
}

/** The directory of a step, built if it is not there. The caller holds the build lock. */
export async function buildStep(stepsDirectory: string, step: Step, tools: StepTools): Promise<string> {
  const final = stepDirectory(stepsDirectory, step);
  if ((await statIfExists(final)) !== undefined) return final;
  tools.signal.throwIfAborted();
  tools.progress.step(step.name, step.detail);
  const temporary = join(stepsDirectory, `${TEMPORARY_PREFIX}${step.name}.${crypto.randomUUID()}`);
  try {
    await mkdir(temporary);
    const result = await step.build(temporary, tools);
    tools.signal.throwIfAborted();
    await publishDirectory(temporary, final, "guest.step");
    tools.progress.done(result);
    return final;
  } catch (thrown) {
    tools.progress.failed();
    throw thrown;
  } finally {
    await remove(temporary);
  }
}
