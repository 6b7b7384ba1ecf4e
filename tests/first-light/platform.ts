/**
 * A whole platform for a test, started as a user starts it: `./wrenn up --detach` with a state directory,
 * a port and network slots of its own. The built guest and the golden snapshots are those that all tests
 * of a machine share.
 */
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { mkdir, mkdtemp, readFile, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { once } from "node:events";
import { freePort } from "../free-port.ts";

const REPOSITORY = join(import.meta.dirname, "../..");
const SHARED_DIRECTORY = process.env["WRENN_TEST_GUEST_DIR"] ?? "/var/lib/wrenn-test";
/** Apart from those of the host agent's own tests and of a platform in use. */
const FIRST_SLOT = 22_000;

export const REPOSITORY_WRENN = join(REPOSITORY, "wrenn");

export interface Finished {
  code: number | null;
  stdout: Buffer;
  stderr: string;
}

export interface Platform {
  directory: string;
  url: string;
  apiKey: string;
  env: NodeJS.ProcessEnv;
  /** Runs `./wrenn …` to its end. */
  wrenn(args: string[], options?: { input?: string | Buffer; env?: NodeJS.ProcessEnv }): Promise<Finished>;
  /** Starts `./wrenn …`. */
  start(args: string[]): ChildProcessWithoutNullStreams;
  /** One request to the API. */
  request(method: string, path: string, body?: unknown): Promise<{ status: number; body: any; headers: Headers }>;
  stop(): Promise<void>;
}

/** A state directory with nothing but the shared guest, and the commands to use it; nothing runs yet. */
export async function preparePlatform(
  settings: NodeJS.ProcessEnv = {},
): Promise<Pick<Platform, "directory" | "env" | "wrenn" | "start"> & { port: number }> {
  const directory = await mkdtemp("/tmp/wrenn-e2e-");
  await linkSharedGuest(directory);
  const port = await freePort();
  const env = {
    ...process.env,
    WRENN_DIR: directory,
    WRENN_PORT: String(port),
    WRENN_SLOT_FIRST: String(FIRST_SLOT),
    WRENN_SLOT_COUNT: "64",
    WRENN_SLOT_READY: "1",
    ...settings,
  };
  const start: Platform["start"] = (args) => spawn(join(REPOSITORY, "wrenn"), args, { env, stdio: "pipe" });
  const wrenn: Platform["wrenn"] = async (args, options = {}) => {
    const child = spawn(join(REPOSITORY, "wrenn"), args, { env: { ...env, ...options.env }, stdio: "pipe" });
    child.stdin.on("error", () => undefined); // the command may end without reading
    child.stdin.end(options.input ?? "");
    return await finished(child);
  };
  return { directory, env, port, start, wrenn };
}

/** Makes a state directory use the guest and the golden snapshots that all tests share. */
export async function linkSharedGuest(directory: string): Promise<void> {
  for (const shared of ["guest", "golden"]) {
    await mkdir(join(SHARED_DIRECTORY, shared), { recursive: true, mode: 0o711 });
    await symlink(join(SHARED_DIRECTORY, shared), join(directory, shared));
  }
}

/** Collects what a started command prints, to its end. */
export async function finished(child: ChildProcessWithoutNullStreams): Promise<Finished> {
  const stdout: Buffer[] = [];
  const stderr: Buffer[] = [];
  child.stdout.on("data", (chunk: Buffer) => stdout.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => stderr.push(chunk));
  const [code] = (await once(child, "close")) as [number | null];
  return { code, stdout: Buffer.concat(stdout), stderr: Buffer.concat(stderr).toString() };
}

export async function startPlatform(settings: NodeJS.ProcessEnv = {}): Promise<Platform> {
  const { directory, env, port, start, wrenn } = await preparePlatform(settings);
  const up = await wrenn(["up", "--detach"]);
  if (up.code !== 0) {
    await wrenn(["down", "--destroy"]);
    await rm(directory, { recursive: true, force: true });
    throw new Error(`wrenn up --detach: ${up.code}\n${up.stdout.toString()}\n${up.stderr}`);
  }
  const { api_key: apiKey } = JSON.parse(await readFile(join(directory, "secrets/api-key.json"), "utf8")) as {
    api_key: string;
  };
  const url = `http://127.0.0.1:${port}`;
  return {
    directory,
    url,
    apiKey,
    env,
    wrenn,
    start,
    async request(method, path, body) {
      const response = await fetch(url + path, {
        method,
        headers: { "x-api-key": apiKey, ...(body === undefined ? {} : { "content-type": "application/json" }) },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, body: text === "" ? undefined : JSON.parse(text), headers: response.headers };
    },
    async stop() {
      const down = await wrenn(["down", "--destroy"]);
      await rm(directory, { recursive: true, force: true });
      if (down.code !== 0) throw new Error(`wrenn down --destroy: ${down.code}\n${down.stderr}`);
    },
  };
}
