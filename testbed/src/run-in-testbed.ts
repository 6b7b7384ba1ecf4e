/** Boots the testbed, runs one command in it, and tells how that ended. */
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable, Writable } from "node:stream";
import type { Socket } from "node:net";
import { kill, remove, run, start, statIfExists } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { POWER_CUT_STATUS, qemuArguments, STREAM_FDS } from "./arguments.ts";
import type { TestbedImage } from "./ensure-testbed.ts";
import { EXCHANGE_MOUNT, SHIM_PATH } from "./paths.ts";
import { fileSystemOf, makeScratchDisk, type ScratchFileSystem } from "./scratch-disk.ts";

const SCRATCH_BYTES = 16 * 1024 ** 3;
const CONSOLE_TAIL_LINES = 12;

export interface TestbedOptions {
  qemu: string;
  accelerator: "kvm" | "tcg";
  image: TestbedImage;
  argv: readonly [string, ...string[]];
  /** The command's whole environment; `TESTBED_EXCHANGE` is added. */
  env: Readonly<Record<string, string>>;
  /** Working directory: the same path inside as outside. */
  directory: string;
  memoryMib: number;
  fileSystem: ScratchFileSystem;
  /** Scratch disk that is kept, made when it is missing; without it, a new one for this run. */
  scratchPath?: string;
  /** Directory that is writable from inside too, at `TESTBED_EXCHANGE`; without it, one for this run. */
  exchangeDirectory?: string;
  forwards?: readonly { host: number; guest: number }[];
  /** Cuts the power so long after the start. */
  cutPowerAfterMs?: number;
  terminal?: { rows: number; columns: number };
  input: Readable;
  output: Writable;
  error: Writable;
  /** Ends the testbed at once. */
  signal: AbortSignal;
}

/** `powerCut`: the command did not end; what it had written to the scratch disk is there. */
export type TestbedEnd = { kind: "exit"; code: number } | { kind: "powerCut" };

/** @throws WrennError `internal` when the machine ended and the command did not, with its last words */
export async function runInTestbed(options: TestbedOptions): Promise<TestbedEnd> {
  const { signal, terminal } = options;
  signal.throwIfAborted();
  await using cleanup = new AsyncDisposableStack();
  const temporary = await mkdtemp(join(tmpdir(), "wrenn-testbed-"));
  cleanup.defer(() => remove(temporary));
  const exchangeDirectory = options.exchangeDirectory ?? join(temporary, "exchange");
  await mkdir(exchangeDirectory, { recursive: true });
  const scratchPath = options.scratchPath ?? join(temporary, "scratch");
  const scratchFileSystem = await prepareScratch(scratchPath, options.fileSystem, signal);
  await describeCommand(exchangeDirectory, options);

  const argv = qemuArguments({
    ...options,
    scratchPath,
    scratchFileSystem,
    exchangeDirectory,
    tscKhz: await measureTscKhz(signal),
    forwards: options.forwards ?? [],
    terminal,
  });
  const child = start(argv, { stdio: ["ignore", "ignore", "pipe", "pipe", "pipe", "pipe"], detached: true });
  const ended = once(child, "close") as Promise<[number | null, NodeJS.Signals | null]>;
  ended.catch(() => undefined);
  const pid = child.pid;
  const end = (): void => {
    if (pid !== undefined) kill(pid, "SIGKILL");
  };
  const complaints = collect(child.stderr as Readable);
  const stream = (name: keyof typeof STREAM_FDS): Socket =>
    (child.stdio as readonly unknown[])[STREAM_FDS[name]] as Socket;
  connectStreams(options, stream);

  let cut = false;
  const timer =
    options.cutPowerAfterMs === undefined
      ? undefined
      : setTimeout(() => {
          cut = true;
          end();
        }, options.cutPowerAfterMs);
  signal.addEventListener("abort", end, { once: true });
  if (signal.aborted) end();
  try {
    const [status, by] = await ended.catch((cause: unknown) => {
      throw new WrennError("missing_requirement", `Cannot start ${options.qemu}`, {
        cause,
        hint: "Install the Debian package qemu-system-x86",
      });
    });
    signal.throwIfAborted();
    const exitCode = await readFile(join(exchangeDirectory, "exit-code"), "utf8").catch(() => undefined);
    if (exitCode !== undefined && exitCode.trim() !== "") return { kind: "exit", code: Number(exitCode) };
    if (cut || status === POWER_CUT_STATUS) return { kind: "powerCut" };
    throw new WrennError(
      "internal",
      `Cannot run in the testbed: it ended by ${by ?? `exit status ${status}`} (${await lastWords(exchangeDirectory, complaints)})`,
    );
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", end);
    options.input.unpipe(stream("input"));
  }
}

async function prepareScratch(
  path: string,
  fileSystem: ScratchFileSystem,
  signal: AbortSignal,
): Promise<ScratchFileSystem> {
  if ((await statIfExists(path)) !== undefined) {
    const found = await fileSystemOf(path);
    if (found === undefined) {
      throw new WrennError("invalid_request", `Cannot use ${path} as the testbed's disk: it has neither XFS nor ext4`, {
        hint: "Name a file that does not exist: it is made",
      });
    }
    return found;
  }
  await makeScratchDisk(path, { fileSystem, sizeBytes: SCRATCH_BYTES }, signal);
  return fileSystem;
}

/** What guest/start reads. */
async function describeCommand(directory: string, { argv, env, directory: cwd }: TestbedOptions): Promise<void> {
  const environment = { ...env, TESTBED_EXCHANGE: EXCHANGE_MOUNT };
  const terminated = (items: readonly string[]): string => items.map((item) => `${item}\0`).join("");
  await remove(join(directory, "exit-code"));
  await writeFile(join(directory, "argv"), terminated(argv));
  await writeFile(join(directory, "environment"), terminated(Object.entries(environment).map(([k, v]) => `${k}=${v}`)));
  await writeFile(join(directory, "directory"), cwd);
}

function connectStreams(options: TestbedOptions, stream: (name: keyof typeof STREAM_FDS) => Socket): void {
  const ignore = (): void => undefined; // QEMU has ended; "close" says so
  for (const name of ["input", "output", "error"] as const) stream(name).on("error", ignore);
  options.input.pipe(stream("input"));
  if (options.terminal === undefined) {
    stream("output").pipe(options.output, { end: false });
    stream("error").pipe(options.error, { end: false });
  } else {
    stream("input").pipe(options.output, { end: false });
  }
}

async function measureTscKhz(signal: AbortSignal): Promise<number> {
  const { stdout } = await run([SHIM_PATH, "tsc-khz"], { signal, timeoutMs: 10_000 });
  return Number(stdout);
}

function collect(stream: Readable): Buffer[] {
  const chunks: Buffer[] = [];
  stream.on("data", (chunk: Buffer) => chunks.push(chunk));
  return chunks;
}

async function lastWords(exchangeDirectory: string, complaints: readonly Buffer[]): Promise<string> {
  const console = await readFile(join(exchangeDirectory, "console.log"), "latin1").catch(() => "");
  const text = `${Buffer.concat(complaints).toString("utf8")}\n${console}`;
  const lines = text
    .replaceAll(/[^\x20-\x7e\n]/g, "")
    .trim()
    .split("\n")
    .filter(Boolean);
  return lines.slice(-CONSOLE_TAIL_LINES).join("; ") || "without a word";
}
