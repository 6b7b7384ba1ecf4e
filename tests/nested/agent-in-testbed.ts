/**
 * Runs in the testbed: a host agent, which the tests outside reach over a forwarded port. Its standard input
 * says what to do, a word a line: `restart` kills it and starts the next one, `end` ends it and looks for what
 * it left. Its standard output tells when that is done, a word a line; what went wrong is on standard error.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { once } from "node:events";
import { copyFile, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { createInterface } from "node:readline";
import { linkSharedGuest } from "../first-light/link-shared-guest.ts";
import { expectNoLeak, takeInventory } from "../leaks/index.ts";
import { GUEST_PORT, TOKEN_NAME } from "./names.ts";
import { relay } from "./relay.ts";
import { takeSharedGuest } from "./shared-guest.ts";

const TEMPLATES = process.env["TEMPLATES"] ?? "";
const AGENT = process.env["AGENT"] ?? "";
const EXCHANGE = process.env["TESTBED_EXCHANGE"] ?? "";
const DIRECTORY = "/var/lib/wrenn";
const SOCKET = join(DIRECTORY, "run/host-agent.sock");

async function startAgent(): Promise<ChildProcess> {
  const child = spawn(process.execPath, [AGENT], {
    env: {
      ...process.env,
      WRENN_DIR: DIRECTORY,
      WRENN_READY_FD: "3",
      WRENN_DNS: "203.0.113.53",
      WRENN_SLOT_READY: "0",
    },
    stdio: ["ignore", process.stderr, process.stderr, "pipe"],
  });
  const ready = once(createInterface({ input: child.stdio[3] as Readable }), "line");
  const ended = once(child, "exit").then(() => {
    throw new Error("the agent ended before it served");
  });
  ended.catch(() => undefined);
  await Promise.race([ready, ended]);
  return child;
}

async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  const ended = once(child, "exit");
  child.kill(signal);
  await ended;
}

const say = (word: string): boolean => process.stdout.write(`${word}\n`);

await mkdir(join(DIRECTORY, "secrets"), { mode: 0o700 });
await copyFile(join(EXCHANGE, TOKEN_NAME), join(DIRECTORY, "secrets/agent-token"));
await takeSharedGuest(TEMPLATES.split(","));
await linkSharedGuest(DIRECTORY);
const before = await takeInventory();
let agent = await startAgent();
const server = await relay({ port: GUEST_PORT, host: "0.0.0.0" }, { path: SOCKET });
say("serving");
for await (const line of createInterface({ input: process.stdin })) {
  if (line === "restart") {
    await end(agent, "SIGKILL");
    agent = await startAgent();
    say("restarted");
  }
  if (line === "end") break;
}
server.close();
await end(agent, "SIGTERM");
await expectNoLeak(before);
say("clean");
process.exit(0);
