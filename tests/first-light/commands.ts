/** `./wrenn` as tests run it. */
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

export const REPOSITORY_WRENN = join(import.meta.dirname, "../../wrenn");

export interface Finished {
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

export interface Commands {
  /** Runs `./wrenn …` to its end. */
  wrenn(args: string[], options?: { input?: string | Buffer; env?: NodeJS.ProcessEnv }): Promise<Finished>;
  /** Starts `./wrenn …`. */
  start(args: string[]): ChildProcessWithoutNullStreams;
}

/** The commands in an environment; what is changed in it later they see. */
export function commandsWith(env: NodeJS.ProcessEnv): Commands {
  return {
    start: (args) => spawn(REPOSITORY_WRENN, args, { env, stdio: "pipe" }),
    async wrenn(args, options = {}) {
      const child = spawn(REPOSITORY_WRENN, args, { env: { ...env, ...options.env }, stdio: "pipe" });
      child.stdin.on("error", () => undefined); // the command may end without reading
      child.stdin.end(options.input ?? "");
      return await finished(child);
    },
  };
}

/** Collects what a started command prints, to its end. */
export async function finished(child: ChildProcessWithoutNullStreams): Promise<Finished> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() };
}
