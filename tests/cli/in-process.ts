/** The command line in this process: main() as its entry calls it, without half a second for a process. */
import { vi } from "vitest";
import { main } from "../../apps/cli/src/program.ts";
import type { Finished } from "../first-light/platform.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;

/** For commands that do not read standard input. */
export async function wrennHere(argv: string[], env: NodeJS.ProcessEnv): Promise<Finished> {
  const printed = { stdout: "", stderr: "" };
  const listeners = SIGNALS.map((signal) => [signal, process.listeners(signal)] as const);
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  for (const stream of ["stdout", "stderr"] as const) {
    vi.spyOn(process[stream], "write").mockImplementation((chunk) => {
      printed[stream] += String(chunk);
      return true;
    });
  }
  try {
    return { code: await main(argv), stdout: Buffer.from(printed.stdout), stderr: printed.stderr };
  } finally {
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
    for (const [signal, before] of listeners) {
      for (const listener of process.listeners(signal)) if (!before.includes(listener)) process.off(signal, listener);
    }
  }
}
