/** Waiting for a file that another process makes. */
import { watch } from "node:fs";
import { access } from "node:fs/promises";
import { basename, dirname } from "node:path";

/** Settles when `path` exists; to be called before whoever makes it is started. */
export async function appears(path: string, signal: AbortSignal): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  promise.catch(() => undefined); // it may be rejected before it is waited for
  const watcher = watch(dirname(path), (_event, name) => {
    if (name === basename(path)) resolve();
  });
  const onAbort = () => reject(signal.reason as Error);
  signal.addEventListener("abort", onAbort, { once: true });
  watcher.on("error", reject);
  try {
    const there = await access(path).then(
      () => true,
      () => false,
    );
    if (!there) await promise;
  } finally {
    watcher.close();
    signal.removeEventListener("abort", onAbort);
  }
}
