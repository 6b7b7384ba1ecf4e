/** What a VM's process uses, as the kernel counts it (proc_pid_stat(5), proc_pid_smaps_rollup(5)). */
import { readdir, readFile } from "node:fs/promises";

/** Ticks per second of /proc's times: USER_HZ, 100 on every architecture that we run on. */
const TICKS_PER_SECOND = 100;

export interface ProcessUsage {
  cpuSeconds: number;
  majorFaults: number;
  minorFaults: number;
  threads: number;
  /** Bytes that no other process shares: what the process costs. */
  privateBytes: number;
  /** Proportional share of anonymous memory, bytes. */
  anonymousBytes: number;
}

/**
 * CPU time that the process has asked for so far, seconds: what its threads got and what they waited for
 * on a busy host. 0 when the process has ended. https://docs.kernel.org/scheduler/sched-stats.html
 */
export async function readCpuDemandSeconds(pid: number): Promise<number> {
  const tasks = `/proc/${pid}/task`;
  const times = await Promise.all(
    (await readdir(tasks).catch(() => [])).map(async (task) => {
      const text = await readFile(`${tasks}/${task}/schedstat`, "utf8").catch(() => "0 0 0");
      const [ran = 0, waited = 0] = text.split(" ").map(Number);
      return ran + waited;
    }),
  );
  return times.reduce((sum, nanoseconds) => sum + nanoseconds, 0) / 1e9;
}

/** Undefined when the process has ended. */
export async function readProcessUsage(pid: number): Promise<ProcessUsage | undefined> {
  const [stat, rollup] = await Promise.all([
    readStat(pid),
    readFile(`/proc/${pid}/smaps_rollup`, "utf8").catch(() => ""),
  ]);
  if (stat === undefined) return undefined;
  const bytes = (field: string): number =>
    Number(new RegExp(`^${field}:\\s+(\\d+) kB`, "m").exec(rollup)?.[1] ?? 0) * 1024;
  return {
    ...stat,
    privateBytes: bytes("Private_Clean") + bytes("Private_Dirty"),
    anonymousBytes: bytes("Pss_Anon"),
  };
}

async function readStat(
  pid: number,
): Promise<Pick<ProcessUsage, "cpuSeconds" | "majorFaults" | "minorFaults" | "threads"> | undefined> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => undefined);
  // the name may hold anything, blanks and parentheses too: what follows the last one is fields 3 and on
  const fields = text?.slice(text.lastIndexOf(")") + 2).split(" ");
  if (fields === undefined) return undefined;
  const field = (number: number): number => Number(fields[number - 3]);
  return {
    minorFaults: field(10),
    majorFaults: field(12),
    cpuSeconds: (field(14) + field(15)) / TICKS_PER_SECOND,
    threads: field(20),
  };
}
