/**
 * An exclusive lock on a file, flock(2): the kernel drops it with its holder, however that ends. Node has
 * no flock, but a lock belongs to the open file description: flock(1) takes it on ours and may then end.
 * Children do not inherit it, for Node opens files with O_CLOEXEC.
 */
import { once } from "node:events";
import { open } from "node:fs/promises";
import { WrennError } from "@wrenn/errors";
import { start } from "./processes.ts";

export interface FileLock extends AsyncDisposable {
  release(): Promise<void>;
}

/** What flock(1) ends with when the lock is taken. */
const TAKEN = 1;

/** Takes the lock; undefined when another process holds it. */
export async function tryLock(path: string): Promise<FileLock | undefined> {
  return await take(path, ["--nonblock"], AbortSignal.timeout(10_000));
}

/** Takes the lock, waiting for it. */
export async function waitForLock(path: string, signal: AbortSignal): Promise<FileLock> {
  const lock = await take(path, [], signal);
  if (lock === undefined) throw new WrennError("conflict", `Cannot lock ${path}: another process holds it`);
  return lock;
}

async function take(path: string, options: string[], signal: AbortSignal): Promise<FileLock | undefined> {
  signal.throwIfAborted();
  const file = await open(path, "a", 0o600);
  const release = async (): Promise<void> => await file.close();
  try {
    const child = start(["flock", "--exclusive", ...options, "3"], {
      stdio: ["ignore", "ignore", "ignore", file.fd],
      signal,
    });
    const [code] = (await once(child, "exit")) as [number | null];
    if (code === TAKEN) {
      await release();
      return undefined;
    }
    if (code !== 0) throw new WrennError("internal", `Cannot lock ${path}: flock ended with ${code}`);
  } catch (error) {
    await file.close().catch(() => undefined);
    throw WrennError.from(error);
  }
  return { release, [Symbol.asyncDispose]: release };
}
