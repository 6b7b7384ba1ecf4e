/**
 * Numbers for tests that make things with system-wide names, so that two test runs on one machine
 * do not meet. A number belongs to the process that claimed it; those of dead ones are free again.
 */
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";

const DIRECTORY = "/run/wrenn-tests";

/**
 * Claims a number below `count` for this process until it ends, or `unclaim`. `recycle` removes what
 * a dead test run left under a number.
 */
export function claim(kind: string, count: number, recycle: (number: number) => void = () => {}): number {
  mkdirSync(DIRECTORY, { recursive: true });
  for (let number = 0; number < count; number++) {
    const record = recordOf(kind, number);
    if (tryWrite(record)) return number;
    if (isAlive(Number(readFileSync(record, "utf8")))) continue;
    recycle(number);
    rmSync(record, { force: true });
    if (tryWrite(record)) return number;
  }
  throw new Error(`Cannot claim a ${kind}: all ${count} are in use`);
}

/** Gives a number back. */
export function unclaim(kind: string, number: number): void {
  rmSync(recordOf(kind, number), { force: true });
}

function recordOf(kind: string, number: number): string {
  return `${DIRECTORY}/${kind}-${number}`;
}

function tryWrite(record: string): boolean {
  try {
    writeFileSync(record, String(process.pid), { flag: "wx" });
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EEXIST") return false;
    throw error;
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
