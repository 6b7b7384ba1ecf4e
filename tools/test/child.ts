/** Runs one program of the test command, with a deadline, in a process group that can be ended as a whole. */
import { once } from "node:events";
import { kill, start } from "@wrenn/effects";

/** Vitest lets running tests clean up after SIGINT; what goes on is ended harder. */
const STOP_STEPS: readonly [NodeJS.Signals, number][] = [
  ["SIGINT", 15_000],
  ["SIGTERM", 5_000],
  ["SIGKILL", 5_000],
];

export interface ChildOptions {
  argv: readonly [string, ...string[]];
  cwd: string;
  env: Readonly<Record<string, string>>;
  deadlineMs: number;
  signal: AbortSignal;
  /** Shows the output as it comes, beside collecting it. */
  stream?: boolean;
}

export interface ChildResult {
  ok: boolean;
  /** `exit status 1`, `signal SIGKILL`, `not done after 60 s`. */
  how: string;
  output: string;
}

export async function runChild({
  argv,
  cwd,
  env,
  deadlineMs,
  signal,
  stream = false,
}: ChildOptions): Promise<ChildResult> {
  const child = start(argv, { cwd, env: { ...env }, stdio: ["ignore", "pipe", "pipe"], detached: true });
  const chunks: Buffer[] = [];
  for (const output of [child.stdout, child.stderr]) {
    output?.on("data", (chunk: Buffer) => {
      chunks.push(chunk);
      if (stream) process.stdout.write(chunk);
    });
  }
  const ended = new Promise<string>((resolve) => {
    child.once("close", (code, by) => resolve(by === null ? `exit status ${code}` : `signal ${by}`));
    child.once("error", (error) => resolve(error.message));
  });
  const left = new Promise<void>((resolve) => child.once("exit", () => resolve()).once("error", () => resolve()));
  const deadline = AbortSignal.timeout(deadlineMs);
  const stopped = AbortSignal.any([signal, deadline]);
  let stopping: Promise<void> | undefined;
  const stop = (): void => {
    stopping ??= stopGroup(child.pid, left);
  };
  stopped.addEventListener("abort", stop, { once: true });
  if (stopped.aborted) stop();
  const how = await ended;
  stopped.removeEventListener("abort", stop);
  await stopping;
  return {
    ok: how === "exit status 0" && !stopped.aborted,
    how: signal.aborted ? "interrupted" : deadline.aborted ? `not done after ${deadlineMs / 1_000} s` : how,
    output: Buffer.concat(chunks).toString("utf8"),
  };
}

/** Ends the program, then at once whatever it has left in its group. */
async function stopGroup(pid: number | undefined, left: Promise<void>): Promise<void> {
  if (pid === undefined) return;
  for (const [signal, graceMs] of STOP_STEPS) {
    if (!kill(-pid, signal)) return;
    const over = await Promise.race([
      left.then(() => true),
      once(AbortSignal.timeout(graceMs), "abort").then(() => false),
    ]);
    if (over) break;
  }
  kill(-pid, "SIGKILL");
}
