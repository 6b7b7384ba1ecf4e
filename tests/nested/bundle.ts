/**
 * One file of a program and all that it imports: in the testbed without KVM, starting from hundreds of files takes
 * longer than everything that is done then.
 */
import { mkdir, readFile } from "node:fs/promises";
import { basename, join } from "node:path";
import { writeFileAtomic } from "@wrenn/effects";
import { rolldown } from "rolldown";

const CHECKOUT = join(import.meta.dirname, "../..");
/** As deep in the checkout as `apps/host-agent/src`, for the agent finds the Rust programs from where it lies. */
const DIRECTORY = join(CHECKOUT, "target/testbed/bundle");

/** One that is the same already is let alone: it may be read at the moment. @returns the bundle's path */
export async function bundle(path: string): Promise<string> {
  const file = join(DIRECTORY, `${basename(path, ".ts")}.mjs`);
  const made = await rolldown({ input: path, platform: "node", logLevel: "silent" });
  try {
    const { output } = await made.generate({ format: "esm", codeSplitting: false });
    const { code } = output[0];
    await mkdir(DIRECTORY, { recursive: true });
    if (code !== (await readFile(file, "utf8").catch(() => undefined)))
      await writeFileAtomic(file, code, { durable: false });
  } finally {
    await made.close();
  }
  return file;
}
