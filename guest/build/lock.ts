/**
 * A lock that processes on one machine share: flock(2) on a file, held by a child whose standard input
 * is a pipe from here. However this process ends, the kernel closes the pipe, the child ends, and the
 * lock is free; there is no stale state to judge.
 */
import { once } from "node:events";
import type { ChildProcess } from "node:child_process";
import { kill, start } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";

/**
 * Runs `work` while this process alone holds `path`.
 * @param onWait called once if another process holds the lock
 * @throws WrennError `canceled` when `signal` aborts the wait
 */
export async function withFileLock<T>(
  path: string,
  options: { signal: AbortSignal; onWait: () => void },
  work: () => Promise<T>,
): Promise<T> {
  let holder = await lock(path, ["--nonblock"], options.signal);
  if (holder === undefined) {
    options.onWait();
    holder = await lock(path, [], options.signal);
  }
  if (holder === undefined) throw new WrennError("internal", `Cannot lock ${path}: flock ended without the lock`);
  try {
    return await work();
  } finally {
    const ended = once(holder, "exit");
    holder.stdin?.end();
    await ended;
  }
}

/** The child that holds the lock, or undefined when it ended without it. */
async function lock(path: string, flags: string[], signal: AbortSignal): Promise<ChildProcess | undefined> {
  // A group of its own: Ctrl-C on the terminal must not free the lock before the build has cleaned up.
  const child = start(["flock", ...flags, path, "cat"], { stdio: ["pipe", "pipe", "ignore"], detached: true });
  const abort = () => child.pid !== undefined && kill(-child.pid, "SIGKILL");
  signal.addEventListener("abort", abort, { once: true });
  try {
    if (signal.aborted) abort();
    child.stdin?.on("error", () => {}); // EPIPE when the lock is taken: the exit tells
    child.stdin?.write("locked\n");
    const locked = await new Promise<boolean>((resolve, reject) => {
      child.stdout?.once("data", () => resolve(true)); // `cat` runs only once flock has the lock
      child.once("exit", () => resolve(false));
      child.once("error", reject);
    });
    if (signal.aborted) throw new WrennError("canceled", "Stopped waiting for another build of the guest");
    return locked ? child : undefined;
  } finally {
    signal.removeEventListener("abort", abort);
  }
}
