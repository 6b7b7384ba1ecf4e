/**
 * Starts the embedded server as a child and supervises it.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { watch } from "node:fs";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { kill, start } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { ensureEmbeddedPostgres, type EmbeddedPostgres, type EmbeddedPostgresOptions } from "./ensure.ts";
import { clearStaleServer, findServer, serverRuns } from "./holders.ts";
import { layoutOf } from "./layout.ts";

/** Recovery after a crash replays at most `max_wal_size`; a slow disk may need most of this. */
const READY_DEADLINE_MS = 120_000;
/** For a fast shutdown: open transactions are rolled back, a checkpoint is written. */
const FAST_STOP_DEADLINE_MS = 30_000;
const IMMEDIATE_STOP_DEADLINE_MS = 5_000;
/** Lines of the server kept for the message of a failed start. */
const LAST_LINES = 20;

/** A server that accepts connections. */
export interface RunningPostgres {
  readonly pid: number;
  readonly databaseUrl: string;
  /** Settles when the server has ended, for whatever reason; never rejects. */
  readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
  /** Fast shutdown; immediate, then SIGKILL, when it takes too long. Repeating is success. */
  stop(): Promise<void>;
}

/**
 * Prepares and starts the server, and answers when it accepts connections.
 * @throws WrennError like `ensureEmbeddedPostgres`; `conflict` when one runs already; `timeout`.
 */
export async function startEmbeddedPostgres(options: EmbeddedPostgresOptions): Promise<RunningPostgres> {
  const server = await ensureEmbeddedPostgres(options);
  await clearStaleServer(server.dataDirectory, options.signal);
  options.signal.throwIfAborted();
  const [program, ...args] = server.argv;
  const child = start([program, ...args], {
    uid: server.uid,
    gid: server.gid,
    cwd: server.dataDirectory,
    env: server.env,
    stdio: ["ignore", "ignore", "pipe"],
    detached: true, // Ctrl-C in the terminal is for the supervisor, which stops the database last
  });
  const lines = keepLines(child, options.log);
  const exited = exitOf(child);
  const running: RunningPostgres = {
    pid: child.pid ?? 0,
    databaseUrl: server.databaseUrl,
    exited,
    stop: () => stopChild(child, exited),
  };
  try {
    await untilReady(server, child, exited, lines, options.signal);
    return running;
  } catch (error) {
    await running.stop();
    throw error;
  }
}

/**
 * Stops the server of a state directory, whoever started it; used when its supervisor is gone.
 * @returns false when none runs.
 */
export async function stopEmbeddedPostgres(stateDirectory: string): Promise<boolean> {
  const { data } = layoutOf(stateDirectory);
  const pid = await findServer(data).catch(() => undefined);
  if (pid === undefined) return false;
  for (const [signal, deadlineMs] of STOP_STEPS) {
    kill(pid, signal);
    if (await goneWithin(data, pid, deadlineMs)) return true;
  }
  throw new WrennError("timeout", `Cannot stop the database in ${data}: process ${pid} does not end`, {
    hint: `Look at /proc/${pid}/stack`,
  });
}

const STOP_STEPS: readonly [NodeJS.Signals, number][] = [
  ["SIGINT", FAST_STOP_DEADLINE_MS],
  ["SIGQUIT", IMMEDIATE_STOP_DEADLINE_MS],
  ["SIGKILL", IMMEDIATE_STOP_DEADLINE_MS],
];

async function stopChild(child: ChildProcess, exited: Promise<unknown>): Promise<void> {
  for (const [signal, deadlineMs] of STOP_STEPS) {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) break;
    kill(child.pid, signal);
    const timer = AbortSignal.timeout(deadlineMs);
    await Promise.race([exited, once(timer, "abort")]);
  }
  await exited;
}

/** The process is not ours, so there is no exit event; /proc is asked. */
async function goneWithin(dataDirectory: string, pid: number, deadlineMs: number): Promise<boolean> {
  const deadline = Date.now() + deadlineMs;
  while (Date.now() < deadline) {
    if ((await findServer(dataDirectory)) !== pid) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  return false;
}

function exitOf(child: ChildProcess): RunningPostgres["exited"] {
  return new Promise((resolve) => {
    child.once("close", (code, signal) => resolve({ code, signal }));
    child.once("error", () => resolve({ code: null, signal: null }));
  });
}

function keepLines(child: ChildProcess, log: (line: string) => void): string[] {
  const last: string[] = [];
  if (child.stderr !== null) {
    createInterface({ input: child.stderr }).on("line", (line) => {
      last.push(line);
      if (last.length > LAST_LINES) last.shift();
      log(line);
    });
  }
  return last;
}

/**
 * Waits for `ready` in the status line of postmaster.pid, as pg_ctl does; the kernel tells of each
 * change of the file (inotify).
 */
async function untilReady(
  server: EmbeddedPostgres,
  child: ChildProcess,
  exited: RunningPostgres["exited"],
  lines: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  const settled = new AbortController();
  const deadline = AbortSignal.timeout(READY_DEADLINE_MS);
  const ready = new Promise<void>((resolve, reject) => {
    const look = () => {
      isReady(server.dataDirectory, child.pid).then((yes) => (yes ? resolve() : undefined), reject);
    };
    const watcher = watch(server.dataDirectory, { signal: settled.signal, persistent: false }, look);
    watcher.on("error", reject);
    look();
  });
  const failed = exited.then(({ code, signal: by }) => {
    throw startFailed(server.dataDirectory, lines, by ?? `exit status ${code}`);
  });
  const stopped = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(WrennError.from(signal.reason)), {
      once: true,
      signal: settled.signal,
    });
    const late = () =>
      reject(
        new WrennError(
          "timeout",
          `Cannot start the database: it is not ready after ${READY_DEADLINE_MS / 1_000} s: ${lines.at(-1) ?? ""}`,
        ),
      );
    deadline.addEventListener("abort", late, { once: true, signal: settled.signal });
  });
  try {
    await Promise.race([ready, failed, stopped]);
  } finally {
    failed.catch(() => undefined); // the child may end later, when nobody waits for the start any more
    settled.abort();
  }
}

async function isReady(dataDirectory: string, pid: number | undefined): Promise<boolean> {
  const text = await readFile(join(dataDirectory, "postmaster.pid"), "utf8").catch(() => "");
  const rows = text.split("\n");
  return Number(rows[0]) === pid && rows[7]?.trim() === "ready";
}

function startFailed(dataDirectory: string, lines: readonly string[], how: string): WrennError {
  if (lines.some((line) => line.includes('lock file "postmaster.pid" already exists')))
    return serverRuns(dataDirectory);
  const why = lines.findLast((line) => /\b(FATAL|PANIC|ERROR):/.test(line)) ?? lines.at(-1) ?? "it said nothing";
  const code = /No space left on device/.test(lines.join("\n")) ? "storage_full" : "internal";
  return new WrennError(code, `Cannot start the database in ${dataDirectory}: ${how}: ${why.trim()}`, {
    hint: "See the log of the database (./wrenn logs database)",
  });
}
