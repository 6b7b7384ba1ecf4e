/**
 * A platform whose host agent runs in the testbed, with real KVM and device-mapper there; its control plane and
 * database are out here, where they are fast.
 */
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { createWriteStream } from "node:fs";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { PassThrough } from "node:stream";
import { text } from "node:stream/consumers";
import { progressFor } from "@wrenn/guest";
import { ensureTestbed, runInTestbed, type TestbedEnd } from "@wrenn/testbed";
import { chooseNestedAcceleration } from "@wrenn/virtualization";
import { patient } from "../config.ts";
import { freePort } from "../free-port.ts";
import { TestServer } from "../../apps/control-plane/src/database/test-database.ts";
import { startServices } from "../../apps/control-plane/src/services.ts";
import { startTestApp } from "../../apps/control-plane/src/test-app.ts";
import { SHARED_DIRECTORY } from "../../guest/testing/test-guest.ts";
import { commandsWith } from "../first-light/commands.ts";
import type { Platform } from "../first-light/platform.ts";
import { requestsTo } from "../first-light/requests.ts";
import { bundle } from "./bundle.ts";
import { GUEST_PORT, TOKEN_NAME } from "./names.ts";
import { relay } from "./relay.ts";
import { prepareSharedGuest } from "./shared-guest.ts";

const CHECKOUT = join(import.meta.dirname, "../..");
const MEMORY_MIB = 3_072;
/** A testbed without KVM, beside other work. */
const DEADLINE_MS = 1_500_000;

export interface TestbedPlatform extends Platform {
  /** A file of a sandbox. */
  file(id: string, path: string, content?: Buffer): Promise<Buffer>;
  /** Kills the host agent and starts the next one. */
  restartAgent(): Promise<void>;
}

/**
 * Its `stop` throws when the agent left something in the testbed.
 * @param settings of control plane and host agent
 * @param templates that the agent has
 */
export async function startTestbedPlatform(
  settings: Record<string, string>,
  templates: readonly string[] = ["base", "minimal"],
): Promise<TestbedPlatform> {
  await using cleanup = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "wrenn-nested-"));
  cleanup.defer(() => rm(directory, { recursive: true, force: true }));
  const token = randomUUID();
  const machine = await startMachine(directory, token, { ...settings, TEMPLATES: templates.join() });
  cleanup.defer(() => machine.cut());
  const server = await TestServer.start();
  cleanup.defer(() => server.stop());
  const test = await startTestApp(await server.newDatabase(), {
    ...settings,
    WRENN_SETTLED_AGE_SEC: String(DEADLINE_MS / 1_000), // an operation takes long in there
  });
  cleanup.defer(() => test.stop());
  await mkdir(join(test.stateDirectory, "run"), { recursive: true });
  const path = join(test.stateDirectory, "run/host-agent.sock");
  const local = await relay({ path }, { host: "127.0.0.1", port: machine.port });
  cleanup.defer(() => void local.close());
  await writeFile(join(test.stateDirectory, "secrets/agent-token"), token);
  startServices(test.services);
  await test.services.hosts.firstContact;
  const { apiKey } = test;
  const url = await test.app.listen({ port: 0, host: "127.0.0.1" });
  const headers = { "x-api-key": apiKey };
  const env = { ...process.env, WRENN_DIR: "/nonexistent", WRENN_API_URL: url, WRENN_API_KEY: apiKey };
  const live = cleanup.move();
  return {
    directory: test.stateDirectory,
    url,
    apiKey,
    env,
    ...commandsWith(env),
    request: requestsTo(url, apiKey),
    async file(id, filePath, content) {
      const place = `${url}/v1/sandboxes/${id}/files?path=${encodeURIComponent(filePath)}`;
      const response = await fetch(
        place,
        content === undefined ? { headers } : { method: "PUT", headers, body: content },
      );
      const bytes = Buffer.from(await response.arrayBuffer());
      if (!response.ok) throw new Error(`${filePath}: ${response.status} ${bytes.toString()}`);
      return bytes;
    },
    restartAgent: () => machine.tell("restart", "restarted"),
    async stop() {
      await using _live = live;
      await machine.tell("end", "clean");
      await machine.ended;
    },
  };
}

interface Machine {
  port: number;
  /** Settles when the other side has answered. */
  tell(word: string, answer: string): Promise<void>;
  ended: Promise<TestbedEnd>;
  cut(): Promise<void>;
}

async function startMachine(directory: string, token: string, env: Record<string, string>): Promise<Machine> {
  const controller = new AbortController();
  const signal = AbortSignal.any([controller.signal, AbortSignal.timeout(patient(DEADLINE_MS))]);
  const exchangeDirectory = join(directory, "exchange");
  await mkdir(exchangeDirectory);
  await writeFile(join(exchangeDirectory, TOKEN_NAME), token);
  await prepareSharedGuest(signal);
  const port = await freePort();
  const [input, output, error] = [new PassThrough(), new PassThrough(), new PassThrough()];
  const complaints = text(error);
  complaints.catch(() => undefined);
  const log = process.env["WRENN_TEST_AGENT_LOG"];
  if (log !== undefined) error.pipe(createWriteStream(log, { flags: "a" }));
  const ended = runInTestbed({
    qemu: "qemu-system-x86_64",
    accelerator: await chooseNestedAcceleration(),
    image: await ensureTestbed({ stateDirectory: SHARED_DIRECTORY, progress: progressFor(process.stderr), signal }),
    argv: [process.execPath, await bundle(join(import.meta.dirname, "agent-in-testbed.ts"))],
    env: {
      PATH: process.env["PATH"] ?? "",
      WRENN_TEST_GUEST_DIR: SHARED_DIRECTORY,
      AGENT: await bundle(join(CHECKOUT, "apps/host-agent/src/main.ts")),
      ...env,
    },
    directory: CHECKOUT,
    memoryMib: MEMORY_MIB,
    fileSystem: "xfs",
    exchangeDirectory,
    forwards: [{ host: port, guest: GUEST_PORT }],
    input,
    output,
    error,
    signal,
  }).finally(() => {
    output.end();
    error.end();
  });
  ended.catch(() => undefined);
  const lines: string[] = [];
  const said = createInterface({ input: output }).on("line", (line) => lines.push(line));
  const wait = async (answer: string): Promise<void> => {
    const early = ended.then(async () => {
      throw new Error(
        `the testbed ended before it was "${answer}":\n${lines.slice(-20).join("\n")}\n${await complaints}`,
      );
    });
    early.catch(() => undefined);
    while (!lines.includes(answer)) await Promise.race([once(said, "line"), early]);
    lines.splice(0, lines.indexOf(answer) + 1);
  };
  const cut = async (): Promise<void> => {
    controller.abort();
    await ended.catch(() => undefined);
  };
  try {
    await wait("serving");
  } catch (cause) {
    await cut();
    throw cause;
  }
  return {
    port,
    ended,
    cut,
    async tell(word, answer) {
      input.write(`${word}\n`);
      await wait(answer);
    },
  };
}
