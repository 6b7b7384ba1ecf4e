/** Network namespaces of tests, and Node processes inside them. */
import { execFileSync, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";

/** Runs commands of the `ip` tool, on the host or in a namespace. */
export function ip(commands: readonly string[], namespace?: string): void {
  const where = namespace === undefined ? [] : ["-n", namespace];
  execFileSync("ip", [...where, "-batch", "-"], { input: `${commands.join("\n")}\n` });
}

/** Runs a program in a namespace to its end and returns what it printed. */
export function runInside(namespacePath: string, argv: readonly string[], input?: string): string {
  return execFileSync("nsenter", [`--net=${namespacePath}`, ...argv], {
    encoding: "utf8",
    stdio: ["pipe", "pipe", "pipe"],
    ...(input === undefined ? {} : { input }),
  });
}

/** Starts a TypeScript program in a namespace, with a message channel; it says "ready" when it is. */
export async function startNodeInside(
  namespacePath: string,
  program: string,
  args: readonly string[] = [],
): Promise<ChildProcess> {
  const child = spawn("nsenter", [`--net=${namespacePath}`, process.execPath, program, ...args], {
    stdio: ["ignore", "inherit", "inherit", "ipc"],
  });
  const [first] = (await Promise.race([once(child, "message"), once(child, "exit")])) as unknown[];
  if (first !== "ready") throw new Error(`Cannot start ${program} in ${namespacePath}: it ended with ${String(first)}`);
  return child;
}

/** Ends a child and waits until it is gone. */
export async function endProcess(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const exit = once(child, "exit");
  child.kill("SIGKILL");
  await exit;
}
