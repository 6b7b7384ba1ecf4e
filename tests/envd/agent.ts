/**
 * The real guest agent in template `base` on this machine (crates/envd/tests/support/enclosure.sh), for
 * tests of clients against it. Needs root.
 */
import { execFile, spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { sharedBaseImage } from "../../guest/testing/test-guest.ts";

const repository = fileURLToPath(new URL("../../", import.meta.url));

/** A running agent, reached at `url`. */
export interface Agent {
  url: string;
  stop(): Promise<void>;
}

/** Builds the agent if need be and starts it on a free port, without cgroups. */
export async function startAgent(): Promise<Agent> {
  await promisify(execFile)("cargo", ["build", "--quiet", "--package", "envd"], { cwd: repository });
  const baseImage = await sharedBaseImage();
  const program = `${repository}target/x86_64-unknown-linux-gnu/debug/envd`;
  const child = spawn(
    "unshare",
    [
      ..."--mount --uts --ipc --pid --fork --kill-child".split(" "),
      "sh",
      `${repository}crates/envd/tests/support/enclosure.sh`,
      program,
      ..."--listen 127.0.0.1:0 --allow-loopback --no-cgroups".split(" "),
    ],
    {
      env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", ENVD_TEST_ROOT: baseImage },
      stdio: ["ignore", "ignore", "pipe"],
    },
  );
  const port = await listeningPort(child);
  return {
    url: `http://127.0.0.1:${port}`,
    async stop() {
      const ended = once(child, "exit");
      child.kill("SIGKILL");
      await ended;
    },
  };
}

async function listeningPort(child: ChildProcess): Promise<string> {
  const lines = createInterface({ input: child.stderr! });
  const told: string[] = [];
  for await (const line of lines) {
    told.push(line);
    const port = /listening on 127\.0\.0\.1:(\d+)/.exec(line)?.[1];
    if (port !== undefined) {
      child.stderr!.resume();
      return port;
    }
  }
  throw new Error(`Cannot start the agent: ${told.join("\n")}`);
}
