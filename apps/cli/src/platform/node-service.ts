/**
 * One of our own apps as a service: `node apps/<name>/src/main.ts`. It writes one line on descriptor 3
 * when it serves; that is raced against its end and a deadline. The kernel sends it SIGTERM when the
 * supervisor dies (PR_SET_PDEATHSIG), so that a killed supervisor leaves nothing behind.
 */
import type { ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { kill, start } from "@wrenn/effects";
import { isErrorCode, WrennError } from "@wrenn/errors";
import { formatRecord, parseLogLine, type LogRecord } from "./log-record.ts";
import type { RunningService, Service } from "./service.ts";
import type { ServiceName } from "./supervisor-record.ts";

/** Re-adopting many sandboxes and long migrations take their time. */
const READY_DEADLINE_MS = 120_000;
const STOP_DEADLINE_MS = 20_000;
const READY_FD = 3;
/** Records kept for the message of a failed start. */
const LAST_RECORDS = 20;
/** A line of a stack trace. */
const STACK_FRAME = /^\s+(at |\.\.\. \d+ lines)/;

export interface NodeServiceOptions {
  name: Exclude<ServiceName, "database">;
  /** The checkout: working directory of the process. */
  root: string;
  /** Its whole environment. */
  env: Readonly<Record<string, string>>;
  /** Entry, relative to `root`; `apps/<name>/src/main.ts` unless told. */
  entry?: string;
  readyDeadlineMs?: number;
  /** How long it may take to end after SIGTERM. */
  stopDeadlineMs?: number;
}

export function nodeService(options: NodeServiceOptions): Service {
  const {
    name,
    root,
    env,
    entry = `apps/${name}/src/main.ts`,
    readyDeadlineMs = READY_DEADLINE_MS,
    stopDeadlineMs = STOP_DEADLINE_MS,
  } = options;
  return {
    name,
    async launch({ signal, log }) {
      signal.throwIfAborted();
      const child = start(["setpriv", "--pdeathsig", "TERM", "--", process.execPath, entry], {
        cwd: root,
        env: { ...env, WRENN_READY_FD: String(READY_FD) },
        stdio: ["ignore", "pipe", "pipe", "pipe"],
        detached: true, // Ctrl-C in the terminal is for the supervisor alone
      });
      const last = collectLogs(child, log);
      const exited = exitOf(child);
      const running: RunningService = { pid: child.pid ?? 0, exited, stop: () => stop(child, exited, stopDeadlineMs) };
      try {
        await untilReady(child, exited, signal, readyDeadlineMs);
      } catch (error) {
        await running.stop();
        throw startError(name, error, last);
      }
      return running;
    },
  };
}

async function stop(child: ChildProcess, exited: Promise<string>, deadlineMs: number): Promise<void> {
  for (const signal of ["SIGTERM", "SIGKILL"] as const) {
    if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) break;
    kill(child.pid, signal);
    await Promise.race([exited, once(AbortSignal.timeout(deadlineMs), "abort")]);
  }
  await exited;
}

/** Ends with the process and its output. */
function exitOf(child: ChildProcess): Promise<string> {
  return new Promise((resolve) => {
    child.once("close", (code, signal) => resolve(signal === null ? `exit status ${code}` : `signal ${signal}`));
    child.once("error", (error) => resolve(error.message));
  });
}

async function untilReady(
  child: ChildProcess,
  exited: Promise<string>,
  signal: AbortSignal,
  deadlineMs: number,
): Promise<void> {
  const settled = new AbortController();
  const line = new Promise<void>((resolve) => {
    const pipe = child.stdio[READY_FD] as Readable;
    createInterface({ input: pipe }).once("line", () => {
      resolve();
      pipe.destroy();
    });
  });
  const ended = exited.then((how) => {
    throw new WrennError("internal", how);
  });
  const aborted = new Promise<never>((_, reject) => {
    signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true, signal: settled.signal });
    const timer = setTimeout(() => {
      reject(new WrennError("timeout", `it is not ready after ${deadlineMs / 1_000} s`));
    }, deadlineMs);
    settled.signal.addEventListener("abort", () => clearTimeout(timer));
  });
  try {
    await Promise.race([line, ended, aborted]);
  } finally {
    ended.catch(() => undefined); // it may end later, when nobody waits for the start any more
    settled.abort();
  }
}

/** Passes every line on; returns the last ones as they come. */
function collectLogs(child: ChildProcess, log: (record: LogRecord) => void): LogRecord[] {
  const last: LogRecord[] = [];
  for (const [stream, level] of [
    [child.stdout, 30],
    [child.stderr, 40],
  ] as const) {
    if (stream === null) continue;
    createInterface({ input: stream }).on("line", (line) => {
      const record = parseLogLine(line, level);
      last.push(record);
      if (last.length > LAST_RECORDS) last.shift();
      log(record);
    });
  }
  return last;
}

/**
 * An app that cannot start says why in its last record: `code`, `msg` and `hint` of a WrennError. A crash
 * shows its last lines instead.
 */
function startError(name: string, thrown: unknown, last: readonly LogRecord[]): WrennError {
  const error = WrennError.from(thrown);
  if (error.code === "canceled") return error;
  const told = last.findLast((record) => isErrorCode(record["code"]));
  if (told !== undefined && isErrorCode(told["code"])) {
    return new WrennError(told["code"], told.msg, typeof told["hint"] === "string" ? { hint: told["hint"] } : {});
  }
  const words = last.filter((record) => !STACK_FRAME.test(record.msg)); // what is wrong stands above the stack
  const lines = words.slice(-8).map((record) => `\n  ${name} | ${formatRecord(record)}`);
  return new WrennError(error.code, `Cannot start the ${name}: ${error.message}${lines.join("")}`, {
    cause: error,
    hint: `See its log (./wrenn logs ${name}) and what this machine lacks (./wrenn doctor)`,
  });
}
