/**
 * Who uses a data directory. PostgreSQL trusts `postmaster.pid` when the process id in it is alive and
 * belongs to the same user, which after a reboot or a kill -9 may be another process altogether. Every
 * server process has the data directory as its working directory, so /proc tells the truth.
 */
import * as fs from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { kill, remove } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";

/** Processes of a killed server notice its end within this time. */
const ORPHANS_DEADLINE_MS = 10_000;

/** The process id of the server that runs on `dataDirectory`, if any. */
export async function findServer(dataDirectory: string): Promise<number | undefined> {
  const pid = await recordedPid(dataDirectory);
  return pid !== undefined && (await holdersOf(dataDirectory)).includes(pid) ? pid : undefined;
}

/**
 * Clears the way for a new server: waits for the processes of a killed one, removes its lock file
 * where PostgreSQL would misjudge it.
 * @throws WrennError `conflict` when a server runs on the directory.
 */
export async function clearStaleServer(dataDirectory: string, signal: AbortSignal): Promise<void> {
  const deadline = Date.now() + ORPHANS_DEADLINE_MS;
  for (;;) {
    const holders = await holdersOf(dataDirectory);
    const recorded = await recordedPid(dataDirectory);
    if (recorded !== undefined && holders.includes(recorded)) throw serverRuns(dataDirectory, recorded);
    if (holders.length === 0) {
      if (recorded !== undefined && kill(recorded, 0))
        await remove(join(dataDirectory, "postmaster.pid"), "postgres.stale");
      return;
    }
    if (Date.now() > deadline) {
      throw new WrennError(
        "conflict",
        `Cannot start the database in ${dataDirectory}: processes of a killed server still run`,
        {
          hint: `End them: kill ${holders.join(" ")}`,
        },
      );
    }
    await delay(50, undefined, { signal });
  }
}

/** The error of a second start. */
export function serverRuns(dataDirectory: string, pid?: number): WrennError {
  const who = pid === undefined ? "another server" : `process ${pid}`;
  return new WrennError("conflict", `Cannot start the database in ${dataDirectory}: ${who} serves it already`, {
    hint: "Use the one that runs, or stop it first with ./wrenn down",
  });
}

async function recordedPid(dataDirectory: string): Promise<number | undefined> {
  const text = await fs.readFile(join(dataDirectory, "postmaster.pid"), "utf8").catch(() => "");
  const pid = Number.parseInt(text, 10);
  return Number.isSafeInteger(pid) && pid > 0 ? pid : undefined;
}

async function holdersOf(dataDirectory: string): Promise<number[]> {
  const real = await fs.realpath(dataDirectory);
  const holders: number[] = [];
  for (const name of await fs.readdir("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const directory = await fs.readlink(`/proc/${name}/cwd`).catch(() => undefined);
    if (directory === real) holders.push(Number(name));
  }
  return holders;
}
