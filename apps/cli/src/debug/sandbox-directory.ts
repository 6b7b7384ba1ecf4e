/** What the host agent keeps of a sandbox on this machine (docs/reference/state-directory.md). */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/errors";
import type { CliConfig } from "../config.ts";

/** The parts of a record that the CLI uses; the rest is passed on. */
export interface StoredRecord extends Record<string, unknown> {
  id: string;
  accessToken: string;
  envs: Record<string, string>;
  state: string;
  slotIndex?: number;
}

export interface StoredSandbox {
  directory: string;
  record: StoredRecord;
}

/**
 * Finds a sandbox in the state directory; works also when the platform does not run.
 * @throws WrennError `not_found`, `needs_root`, `invalid_request`
 */
export async function readStoredSandbox({ stateDirectory }: CliConfig, id: string): Promise<StoredSandbox> {
  if (!/^sb[0-9a-z]{20}$/.test(id)) {
    throw new WrennError("invalid_request", `Cannot find sandbox ${JSON.stringify(id)}: that is no sandbox id`, {
      hint: "See ./wrenn sandbox list",
    });
  }
  const directory = join(stateDirectory, "sandboxes", id);
  try {
    const record = JSON.parse(await readFile(join(directory, "record.json"), "utf8")) as StoredRecord;
    return { directory, record };
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "EACCES") {
      throw new WrennError("needs_root", `Cannot read what is kept of sandbox ${id}: not root`, {
        cause,
        hint: "Run the same command as root, on the host that the sandbox is on",
      });
    }
    throw new WrennError("not_found", `Cannot find sandbox ${id} on this host`, {
      cause,
      hint: `Its host keeps it below ${stateDirectory}/sandboxes until it is destroyed`,
    });
  }
}

/** How many sandboxes this machine keeps, and how many of them run. */
export async function countStored({ stateDirectory }: CliConfig): Promise<{ all: number; running: number }> {
  const directory = join(stateDirectory, "sandboxes");
  const states = await Promise.all(
    (await readdir(directory).catch(() => [])).map(async (id) => {
      const text = await readFile(join(directory, id, "record.json"), "utf8").catch(() => undefined);
      return text === undefined ? [] : [(JSON.parse(text) as StoredRecord).state];
    }),
  );
  return { all: states.flat().length, running: states.flat().filter((state) => state === "running").length };
}

/** Console output of its last VM: what its guest's kernel and init printed; empty when there is none. */
export async function readConsole(directory: string): Promise<Buffer> {
  const halves = ["console.log.1", "console.log"].map((name) => join(directory, name));
  return Buffer.concat(await Promise.all(halves.map((path) => readFile(path).catch(() => Buffer.alloc(0)))));
}

/** What a guest wrote, as text that a terminal cannot be controlled with. */
export function printable(text: string | Buffer): string {
  return text.toString().replaceAll(/[^\P{C}\n\t]/gu, "");
}
