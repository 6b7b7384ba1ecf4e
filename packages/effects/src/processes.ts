/**
 * Every child process is started and signalled here: argv only, never a shell string.
 * `run` is for short tools; `start` is for children that live on and need their own descriptors.
 */
import { spawn, type ChildProcess, type SpawnOptions } from "node:child_process";
import { execa, ExecaError } from "execa";
import { WrennError } from "@wrenn/errors";
import { failpoint } from "./failpoint.ts";

/** How a tool is run. */
export interface RunOptions {
  /** Text or bytes for its standard input. */
  input?: string | Uint8Array;
  /** Ends the tool (SIGTERM, 2 s later SIGKILL) when aborted. */
  signal?: AbortSignal;
  /** Ends the tool after this many milliseconds; 60,000 unless told. */
  timeoutMs?: number;
  cwd?: string;
  env?: Record<string, string>;
  /** Most bytes of output kept per stream; 16 MiB unless told. */
  maxBytes?: number;
  /** Runs the tool as another user. */
  uid?: number;
  gid?: number;
  /** Called with each line of standard error or output as it comes. */
  onLine?: (line: string) => void;
}

/** What a tool printed; it ended with status 0. */
export interface RunResult {
  stdout: string;
  stderr: string;
}

/**
 * Runs a tool to its end.
 * @throws WrennError `missing_requirement` when the program is not installed, `canceled`, `timeout`,
 *   else `internal` with the tool's own last words.
 */
export async function run(argv: readonly [string, ...string[]], options: RunOptions = {}): Promise<RunResult> {
  const [program, ...args] = argv;
  failpoint(`run.${program.split("/").at(-1)}`);
  const child = execa(program, args, {
    stdin: options.input === undefined ? "ignore" : "pipe",
    ...(options.input === undefined ? {} : { input: options.input }),
    ...(options.signal === undefined ? {} : { cancelSignal: options.signal }),
    timeout: options.timeoutMs ?? 60_000,
    forceKillAfterDelay: 2_000,
    maxBuffer: options.maxBytes ?? 16 * 1024 * 1024,
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
    ...(options.env === undefined ? {} : { env: options.env }),
    ...(options.uid === undefined ? {} : { uid: options.uid }),
    ...(options.gid === undefined ? {} : { gid: options.gid }),
  });
  if (options.onLine !== undefined) void relayLines(child, options.onLine);
  try {
    const { stdout, stderr } = await child;
    return { stdout, stderr };
  } catch (error) {
    throw errorOfTool(program, error);
  }
}

async function relayLines(
  child: AsyncIterable<unknown> & { iterable: (o: { from: "all" | "stderr" }) => AsyncIterable<unknown> },
  onLine: (line: string) => void,
) {
  try {
    for await (const line of child.iterable({ from: "stderr" })) onLine(String(line));
  } catch {
    // the promise of the child itself carries the failure
  }
}

function errorOfTool(program: string, error: unknown): WrennError {
  if (!(error instanceof ExecaError)) return WrennError.from(error);
  if (error.code === "ENOENT") {
    return new WrennError("missing_requirement", `Cannot run ${program}: it is not installed`, {
      cause: error,
      hint: "Run ./wrenn doctor to see what is missing",
    });
  }
  if (error.isCanceled) return new WrennError("canceled", `Stopped ${program}`, { cause: error });
  if (error.timedOut) return new WrennError("timeout", `Cannot finish ${program}: it took too long`, { cause: error });
  const lastWords = String(error.stderr || error.stdout || "")
    .trim()
    .split("\n")
    .slice(-5)
    .join("; ");
  const how = error.signal === undefined ? `exit status ${error.exitCode}` : `signal ${error.signal}`;
  return new WrennError("internal", `Cannot run ${program}: ${how}${lastWords ? `: ${lastWords}` : ""}`, {
    cause: error,
  });
}

/** Starts a child that the caller supervises. */
export function start(argv: readonly [string, ...string[]], options: SpawnOptions = {}): ChildProcess {
  const [program, ...args] = argv;
  failpoint(`start.${program.split("/").at(-1)}`);
  return spawn(program, args, { ...options, shell: false });
}

/** Sends a signal; false when no such process (or group, for a negative id) exists. */
export function kill(pid: number, signal: NodeJS.Signals | 0): boolean {
  failpoint("kill");
  try {
    return process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
    throw error;
  }
}
