/** Processes that a test, or the platform that it started, left running. */
import { readdirSync, readFileSync } from "node:fs";

interface Process {
  pid: number;
  parent: number;
  program: string;
  argv: string;
  cgroup: string;
  zombie: boolean;
}

/** Descendants of this process, the given programs wherever they run, and all in a cgroup of ours. */
export async function listProcesses(programs: readonly string[]): Promise<string[]> {
  const all = new Map(readProcesses().map((process) => [process.pid, process]));
  const isDescendant = ({ parent }: Process): boolean => {
    for (let at: number | undefined = parent; at !== undefined && at > 1; at = all.get(at)?.parent)
      if (at === process.pid) return true;
    return false;
  };
  return [...all.values()]
    .filter(({ zombie, parent }) => !(zombie && parent === 1)) // PID 1 reaps orphans when it likes
    .filter((found) => isDescendant(found) || programs.includes(found.program) || /\/wrenn/.test(found.cgroup))
    .map(({ pid, program, argv, zombie }) => `${pid} ${zombie ? `${program} (zombie)` : argv.slice(0, 200)}`);
}

function readProcesses(): Process[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .flatMap((pid) => readProcess(Number(pid)) ?? []);
}

/** Undefined when it ended meanwhile. */
function readProcess(pid: number): Process | undefined {
  try {
    const status = readFileSync(`/proc/${pid}/status`, "utf8");
    const argv = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0").filter(Boolean);
    const field = (name: string) => new RegExp(`^${name}:\\s+(.*)$`, "m").exec(status)?.[1] ?? "";
    return {
      pid,
      parent: Number(field("PPid")),
      // a zombie has no argv any more; the kernel's name is cut at 15 characters
      program: argv[0]?.split("/").at(-1) ?? field("Name"),
      argv: argv.join(" ") || field("Name"),
      cgroup: readFileSync(`/proc/${pid}/cgroup`, "utf8"),
      zombie: field("State").startsWith("Z"),
    };
  } catch {
    return undefined;
  }
}
