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
import { run } from "@wrenn/effects";
import { progressFor, readGuestManifest } from "@wrenn/guest";
import { ensureTestbed, runInTestbed, type TestbedEnd } from "@wrenn/testbed";
import { chooseNestedAcceleration } from "@wrenn/virtualization";
import { freePort } from "../free-port.ts";
import { TestServer } from "../../apps/control-plane/src/database/test-database.ts";
import { startServices } from "../../apps/control-plane/src/services.ts";
import { startTestApp } from "../../apps/control-plane/src/test-app.ts";
import { unpackKernel } from "../../apps/host-agent/src/vmm/firecracker/kernel-image.ts";
import { bundle } from "./bundle.ts";
import { GUEST_PORT, IMAGE_NAME, KERNEL_NAME, TEMPLATE, TOKEN_NAME } from "./names.ts";
import { relay } from "./relay.ts";

const SHARED_DIRECTORY = process.env["WRENN_TEST_GUEST_DIR"] ?? "/var/lib/wrenn-test";
const CHECKOUT = join(import.meta.dirname, "../..");
const MEMORY_MIB = 2_048;
/** A testbed without KVM, beside other work. */
const DEADLINE_MS = 1_500_000;

export interface TestbedPlatform {
  /** One request to the API. */
  request(method: string, path: string, body?: unknown): Promise<{ status: number; body: any }>;
  /** A file of a sandbox. */
  file(id: string, path: string, content?: Buffer): Promise<Buffer>;
  /** Kills the host agent and starts the next one. */
  restartAgent(): Promise<void>;
  /** @throws Error when the agent left something in the testbed */
  stop(): Promise<void>;
}

/** @param env settings of the host agent */
export async function startTestbedPlatform(env: Record<string, string>): Promise<TestbedPlatform> {
  await using cleanup = new AsyncDisposableStack();
  const directory = await mkdtemp(join(tmpdir(), "wrenn-nested-"));
  cleanup.defer(() => rm(directory, { recursive: true, force: true }));
  const token = randomUUID();
  const machine = await startMachine(directory, token, env);
  cleanup.defer(() => machine.cut());
  const socketPath = join(directory, "agent.sock");
  const local = await relay({ path: socketPath }, { host: "127.0.0.1", port: machine.port });
  cleanup.defer(() => void local.close());
  const server = await TestServer.start();
  cleanup.defer(() => server.stop());
  const test = await startTestApp(await server.newDatabase(), {
    WRENN_AGENT_SOCKET: socketPath,
    WRENN_SETTLED_AGE_SEC: String(DEADLINE_MS / 1_000), // an operation takes long in there
  });
  cleanup.defer(() => test.stop());
  await writeFile(join(test.stateDirectory, "secrets", "agent-token"), token);
  startServices(test.services);
  await test.services.hosts.firstContact;
  const url = await test.app.listen({ port: 0, host: "127.0.0.1" });
  const headers = { "x-api-key": test.apiKey };
  const live = cleanup.move();
  return {
    async request(method, path, body) {
      const content = body === undefined ? {} : { body: JSON.stringify(body) };
      const type = body === undefined ? {} : { "content-type": "application/json" };
      const response = await fetch(url + path, { method, headers: { ...headers, ...type }, ...content });
      const answer = await response.text();
      return { status: response.status, body: answer === "" ? undefined : JSON.parse(answer) };
    },
    async file(id, path, content) {
      const place = `${url}/v1/sandboxes/${id}/files?path=${encodeURIComponent(path)}`;
      const response = await fetch(
        place,
        content === undefined ? { headers } : { method: "PUT", headers, body: content },
      );
      const bytes = Buffer.from(await response.arrayBuffer());
      if (!response.ok) throw new Error(`${path}: ${response.status} ${bytes.toString()}`);
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
  const signal = AbortSignal.any([controller.signal, AbortSignal.timeout(DEADLINE_MS)]);
  const exchangeDirectory = join(directory, "exchange");
  await mkdir(exchangeDirectory);
  await writeFile(join(exchangeDirectory, TOKEN_NAME), token);
  const { templates, kernelPath } = await readGuestManifest(SHARED_DIRECTORY);
  await unpackKernel(kernelPath, join(exchangeDirectory, KERNEL_NAME));
  const image = templates.find(({ name }) => name === TEMPLATE)?.rootfsPath ?? "";
  await run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", image, join(exchangeDirectory, IMAGE_NAME)], {
    signal,
  });
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
