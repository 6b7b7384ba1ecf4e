/**
 * Makes sure that the platform runs. Any number of callers may do it at once: one starts it, the others
 * wait for it. The supervisor is a process of its own and outlives its caller.
 */
import { once } from "node:events";
import { open, readFile, watch } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { kill, start, tryLock, waitForLock, type FileLock } from "@wrenn/effects";
import { isErrorCode, WrennError, type ErrorBody } from "@wrenn/errors";
import type { CommandContext } from "../define-command.ts";
import { layoutOf, makeDirectories, type PlatformLayout } from "./layout.ts";
import { preparePlatform } from "./prepare.ts";
import { requireRoot } from "./require-root.ts";
import { readLiveRecord, type SupervisorRecord } from "./supervisor-record.ts";
import { waitForSupervisorsEnd } from "./supervisor.ts";

/** A line that a detached supervisor writes while it starts; `ready` and `error` end the start. */
export type StartMessage = { progress: string } | { ready: true } | ErrorBody;

/**
 * Starts the platform unless it runs.
 * @returns its record, and whether this call has started it.
 */
export async function ensurePlatform(context: CommandContext): Promise<{ record: SupervisorRecord; started: boolean }> {
  const layout = layoutOf(context.config.stateDirectory);
  const running = await readReadyRecord(layout);
  if (running !== undefined) return { record: running, started: false };
  await using _lock = await lockStart(layout, context);
  const meanwhile = await settledRecord(layout, context.signal);
  if (meanwhile !== undefined) return { record: meanwhile, started: false };
  await preparePlatform(context.config, context.signal);
  await startSupervisor(layout, context);
  const record = await readReadyRecord(layout);
  if (record === undefined)
    throw new WrennError("unavailable", "Cannot use the platform: it ended right after its start");
  return { record, started: true };
}

/** Serialises starts, in the background and in the foreground. */
export async function lockStart(layout: PlatformLayout, context: CommandContext): Promise<FileLock> {
  requireRoot("start the platform", "or use one that runs, with WRENN_API_URL and WRENN_API_KEY");
  await makeDirectories(layout);
  const lock = await tryLock(layout.startLock);
  if (lock !== undefined) return lock;
  context.output.note("Another wrenn starts the platform; waiting for it");
  return await waitForLock(layout.startLock, context.signal);
}

/**
 * The record of a supervisor that is ready, after waiting for one that is starting (whose starter was
 * killed) or stopping.
 */
export async function settledRecord(
  layout: PlatformLayout,
  signal: AbortSignal,
): Promise<SupervisorRecord | undefined> {
  const settled = new AbortController();
  const until = AbortSignal.any([signal, settled.signal]);
  const gone = waitForSupervisorsEnd(layout, until).then(() => undefined);
  const ready = (async () => {
    const changes = watch(layout.run, { signal: until });
    for (;;) {
      const changed = changes.next(); // begins to watch, so before the look
      changed.catch(() => undefined); // it may end when nobody waits for it any more
      const record = await readReadyRecord(layout);
      if (record !== undefined) return record;
      await changed;
    }
  })();
  try {
    return await Promise.race([gone, ready]);
  } finally {
    settled.abort();
    await Promise.allSettled([gone, ready]);
  }
}

async function readReadyRecord(layout: PlatformLayout): Promise<SupervisorRecord | undefined> {
  const record = await readLiveRecord(layout);
  return record?.state === "ready" ? record : undefined;
}

async function startSupervisor(layout: PlatformLayout, { config, output, signal }: CommandContext): Promise<void> {
  signal.throwIfAborted();
  const printed = await open(layout.supervisorOutput, "w", 0o600);
  const child = start([process.execPath, join(config.root, "apps/cli/src/platform/supervise.ts")], {
    cwd: "/",
    env: { ...config.env },
    stdio: ["ignore", printed.fd, printed.fd, "pipe"],
    detached: true,
  });
  await printed.close();
  const exited = once(child, "exit");
  const stop = (): void => void (child.pid !== undefined && kill(child.pid, "SIGTERM"));
  signal.addEventListener("abort", stop, { once: true });
  try {
    for await (const line of createInterface({ input: child.stdio[3] as Readable })) {
      const message = JSON.parse(line) as StartMessage;
      if ("progress" in message) output.note(sentence(message.progress));
      else if ("error" in message) throw errorOf(message);
      else return;
    }
    await exited;
    signal.throwIfAborted();
    const words = (await readFile(layout.supervisorOutput, "utf8")).trim().split("\n").slice(-8).join("\n  ");
    throw new WrennError("internal", `Cannot start the platform: its supervisor ended\n  ${words}`);
  } catch (error) {
    stop();
    await exited;
    throw error;
  } finally {
    signal.removeEventListener("abort", stop);
    (child.stdio[3] as Readable).destroy();
    child.unref();
  }
}

function sentence(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}

function errorOf({ error }: ErrorBody): WrennError {
  const code = isErrorCode(error.code) ? error.code : "internal";
  return new WrennError(code, error.message, error.hint === undefined ? {} : { hint: error.hint });
}
