/**
 * Names a process beyond the reuse of its id: pid and start time, proc_pid_stat(5) field 22, clock ticks
 * since boot. After a reboot the pair may repeat, so the boot id belongs to it.
 */
import { readFileSync } from "node:fs";

export interface ProcessIdentity {
  pid: number;
  /** `<boot id>/<clock ticks since boot>` */
  startTime: string;
}

/** The identity of a process that runs; undefined when there is none. Zombies do not run. */
export function identify(pid: number): ProcessIdentity | undefined {
  let stat: string;
  try {
    stat = readFileSync(`/proc/${pid}/stat`, "latin1");
  } catch {
    return undefined;
  }
  // the name is in parentheses and may itself hold spaces and parentheses
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  const [state, ticks] = [fields[0], fields[19]];
  if (state === "Z" || state === "X" || ticks === undefined) return undefined;
  return { pid, startTime: `${bootId()}/${ticks}` };
}

/** True while exactly this process runs. */
export function isAlive(identity: ProcessIdentity): boolean {
  return identify(identity.pid)?.startTime === identity.startTime;
}

function bootId(): string {
  return readFileSync("/proc/sys/kernel/random/boot_id", "latin1").trim();
}
