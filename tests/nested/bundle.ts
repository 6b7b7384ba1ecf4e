/**
 * One file of a program and all that it imports: in the testbed without KVM, starting from hundreds of files takes
 * longer than everything that is done then.
 */
import { mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { rolldown } from "rolldown";

const CHECKOUT = join(import.meta.dirname, "../..");
/** As deep in the checkout as `apps/host-agent/src`, for the agent finds the Rust programs from where it lies. */
const DIRECTORY = join(CHECKOUT, "target/testbed/bundle");

/** @returns the bundle's path */
export async function bundle(path: string): Promise<string> {
  await mkdir(DIRECTORY, { recursive: true });
  const file = join(DIRECTORY, `${basename(path, ".ts")}.mjs`);
  const made = await rolldown({ input: path, platform: "node", logLevel: "silent" });
  try {
    await made.write({ file, format: "esm", codeSplitting: false });
  } finally {
    await made.close();
  }
  return file;
}
