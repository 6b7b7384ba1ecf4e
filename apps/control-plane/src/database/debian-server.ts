/** For tests: a server of Debian's PostgreSQL packages, in a directory of its own. */
import { once } from "node:events";
import { chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { kill, run, start } from "@wrenn/effects";

export interface RunningServer {
  readonly pid: number;
  /** Of the database `wrenn`. */
  readonly databaseUrl: string;
  stop(): Promise<void>;
}

/** Starts a server, with what is in `directory` already. @param binaries such as `/usr/lib/postgresql/15/bin` */
export async function startDebianServer(binaries: string, directory: string): Promise<RunningServer> {
  // the server refuses to run as root; this user comes with the packages
  const [uid, gid] = await Promise.all([idOf("-u"), idOf("-g")]);
  const data = join(directory, "data");
  const isNew = (await mkdir(data, { recursive: true, mode: 0o700 })) !== undefined;
  await chown(data, uid, gid);
  await chown(directory, uid, gid);
  const options = { uid, gid, cwd: data, env: { PATH: "/usr/bin:/bin", LC_ALL: "C.UTF-8", TZ: "UTC" } };
  if (isNew) await run([join(binaries, "initdb"), "-D", data, "-A", "trust", "-U", "wrenn", "-E", "UTF8"], options);
  const server = start([join(binaries, "postgres"), "-D", data, "-k", directory, "-c", "listen_addresses="], {
    ...options,
    stdio: ["ignore", "ignore", "pipe"],
  });
  const exited = once(server, "exit");
  await untilReady(server.stderr as NodeJS.ReadableStream);
  if (isNew) await run([join(binaries, "createdb"), "-h", directory, "-U", "wrenn", "wrenn"], options);
  return {
    pid: server.pid ?? 0,
    databaseUrl: `postgresql:///wrenn?host=${encodeURIComponent(directory)}&user=wrenn`,
    async stop() {
      if (server.pid !== undefined && server.exitCode === null && server.signalCode === null)
        kill(server.pid, "SIGINT");
      await exited;
    },
  };
}

async function untilReady(output: NodeJS.ReadableStream): Promise<void> {
  const lines: string[] = [];
  for await (const line of createInterface({ input: output })) {
    lines.push(line);
    if (line.includes("database system is ready to accept connections")) {
      output.resume();
      return;
    }
  }
  throw new Error(`Cannot start the server: ${lines.join("\n")}`);
}

async function idOf(which: "-u" | "-g"): Promise<number> {
  return Number((await run(["id", which, "postgres"])).stdout);
}
