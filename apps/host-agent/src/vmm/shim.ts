/**
 * Starting VMs under their shim and following them through its control socket. The shim outlives the
 * agent; whoever holds a connection to it learns of the VM's end at once, also after a restart.
 * Contract: docs/reference/shim.md.
 */
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { start, writeFileAtomic } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { removeCgroup } from "./cgroup.ts";
import { endedAtStart } from "./vm-exit.ts";
import type { VmExit } from "./vmm.ts";

const STOP_DEADLINE_MS = 10_000;
const CONSOLE_MAX_BYTES = 256 * 1024;

/** What the shim is told (JSON; snake_case is the shim's own). */
export interface ShimSpec {
  name: string;
  argv: readonly string[];
  /** Firecracker's, to start it through. */
  jailer?: string;
  env: Record<string, string>;
  uid: number;
  gid: number;
  directory: string;
  network_namespace?: string;
  tap?: string;
  mounts: { path: string; read_only: boolean }[];
  devices: string[];
  cgroup: string;
  memory_max_bytes: number;
  pids_max: number;
  /** Quota and period in microseconds, as cgroup v2's cpu.max. */
  cpu_max: string;
  /** Of the disk that `directory` is on, reads and writes each. */
  io_max_bytes_per_second: number;
}

type StateLine =
  | { state: "running"; pid: number }
  | { state: "exited"; kind: "exit" | "signal"; code?: number; signal?: string; oom?: boolean }
  | { state: "failed"; what: string; errno?: string; message?: string };

const controlSocketPath = (directory: string): string => join(directory, "shim.sock");
const specPath = (directory: string): string => join(directory, "shim.json");
const exitRecordPath = (directory: string): string => join(directory, "exit.json");

/** Where a VM's console output is, newest half and older half. */
export const consolePath = (directory: string): string => join(directory, "console.log");

/** A VM's process as its shim reports it. */
export class ShimProcess {
  readonly pid: number;
  readonly exited: Promise<VmExit>;
  readonly #socket: Socket;

  /** Lets go of the VM, which goes on; `exited` then never settles. */
  readonly detach: () => void;

  private constructor(pid: number, socket: Socket, exited: Promise<VmExit>, detach: () => void) {
    this.pid = pid;
    this.#socket = socket;
    this.exited = exited;
    this.detach = detach;
  }

  /**
   * Starts the VMM of `spec`; settles when it has been executed.
   * @param supervisionDirectory where the shim keeps what only root may touch
   */
  static async start(
    program: string,
    spec: ShimSpec,
    supervisionDirectory: string,
    signal: AbortSignal,
  ): Promise<ShimProcess> {
    const complete = {
      ...spec,
      control_socket: controlSocketPath(supervisionDirectory),
      exit_record: exitRecordPath(supervisionDirectory),
      console: consolePath(supervisionDirectory),
      console_max_bytes: CONSOLE_MAX_BYTES,
    };
    await writeFileAtomic(specPath(supervisionDirectory), JSON.stringify(complete), {
      name: "shim.spec",
      durable: false, // a power cut ends the VM as well
    });
    const child = start([program, "run", specPath(supervisionDirectory)], {
      detached: true,
      stdio: ["ignore", "pipe", "ignore"],
    });
    child.unref();
    const failure = once(child, "error").then(([error]) => {
      throw new WrennError("missing_requirement", `Cannot start the shim ${program}`, { cause: error });
    });
    failure.catch(() => undefined);
    const line = await Promise.race([firstLine(child.stdout), failure]);
    const state = line === undefined ? undefined : (JSON.parse(line) as StateLine);
    if (state?.state !== "running") throw startFailure(state);
    try {
      const attached = await ShimProcess.attach(supervisionDirectory, signal);
      if (attached !== undefined) return attached;
    } catch (error) {
      const ended = once(child, "exit");
      if (child.kill("SIGTERM")) await ended; // the shim takes its VM with it
      throw error;
    }
    const exit = await readExitRecord(supervisionDirectory);
    throw endedAtStart("its program", exit, await lastConsoleLines(supervisionDirectory));
  }

  /** Connects to the shim of a VM that runs already; undefined when the VM has ended. */
  static async attach(supervisionDirectory: string, signal: AbortSignal): Promise<ShimProcess | undefined> {
    const socket = connect({ path: controlSocketPath(supervisionDirectory) });
    try {
      await once(socket, "connect", { signal });
    } catch (error) {
      socket.destroy();
      signal.throwIfAborted();
      const { code } = error as NodeJS.ErrnoException;
      if (code === "ENOENT" || code === "ECONNREFUSED") return undefined;
      throw error;
    }
    const { promise: first, resolve: onFirst } = Promise.withResolvers<number | undefined>();
    const { promise: exited, resolve: onExit } = Promise.withResolvers<VmExit>();
    const ignore = (): void => undefined; // "close" follows
    socket.on("error", ignore);
    createInterface({ input: socket })
      .on("line", (line) => {
        const state = JSON.parse(line) as StateLine;
        if (state.state === "running") onFirst(state.pid);
        else if (state.state === "exited") onExit(exitOf(state));
      })
      .on("error", ignore); // readline emits its input's errors too
    const onClose = (): void => {
      onFirst(undefined);
      void readExitRecord(supervisionDirectory).then(onExit);
    };
    socket.on("close", onClose);
    const pid = await first;
    if (pid === undefined) {
      socket.destroy();
      return undefined;
    }
    return new ShimProcess(pid, socket, exited, () => socket.off("close", onClose).destroy());
  }

  /** Kills the VM and waits for its end; repeating is success. */
  async stop(): Promise<VmExit> {
    if (this.#socket.writable) this.#socket.write(`${JSON.stringify({ kill: true })}\n`);
    const deadline = AbortSignal.timeout(STOP_DEADLINE_MS);
    const late = once(deadline, "abort").then(() => {
      throw new WrennError("timeout", `Cannot stop VM process ${this.pid}: it did not end in ${STOP_DEADLINE_MS} ms`);
    });
    const exit = await Promise.race([this.exited, late]);
    this.#socket.destroy();
    return exit;
  }
}

/**
 * Ends whatever VM runs under a supervision directory, also one of which no record was written yet, and
 * removes what a shim that was killed left.
 */
export async function stopLeftover(supervisionDirectory: string): Promise<void> {
  const process = await ShimProcess.attach(supervisionDirectory, AbortSignal.timeout(STOP_DEADLINE_MS));
  await process?.stop();
  const cgroup = await readCgroup(supervisionDirectory);
  if (cgroup !== undefined) await removeCgroup(cgroup);
}

/** That of the shim's spec; undefined without one, or when a power cut left a torn one: its cgroup went with the power. */
async function readCgroup(supervisionDirectory: string): Promise<string | undefined> {
  try {
    return (JSON.parse(await readFile(specPath(supervisionDirectory), "utf8")) as ShimSpec).cgroup;
  } catch {
    return undefined;
  }
}

/** How a VM ended, from its durable record; `lost` when it left none. */
export async function readExitRecord(supervisionDirectory: string): Promise<VmExit> {
  try {
    return exitOf(
      JSON.parse(await readFile(exitRecordPath(supervisionDirectory), "utf8")) as StateLine & { state: "exited" },
    );
  } catch {
    return { kind: "lost" };
  }
}

/** What is kept of a VM's console, as bytes that the guest chose; empty when it never wrote. */
export async function readConsole(supervisionDirectory: string): Promise<Buffer> {
  const newer = consolePath(supervisionDirectory);
  const halves = [`${newer}.1`, newer].map((path) => readFile(path).catch(() => Buffer.alloc(0)));
  return Buffer.concat(await Promise.all(halves));
}

/** The end of a VM's console, for error messages. */
export async function lastConsoleLines(supervisionDirectory: string): Promise<string> {
  const text = await readFile(consolePath(supervisionDirectory), "latin1").catch(() => "");
  // The console is the guest's to write: only printable characters reach a message or a log.
  const lines = text
    .replaceAll(/[^\x20-\x7e\n]/g, "")
    .trim()
    .split("\n");
  return lines.slice(-3).join("; ").slice(-400) || "its console is empty";
}

function exitOf(state: StateLine & { state: "exited" }): VmExit {
  return {
    kind: state.kind,
    ...(state.code === undefined ? {} : { code: state.code }),
    ...(state.signal === undefined ? {} : { signal: state.signal }),
    oom: state.oom ?? false,
  };
}

function startFailure(state: StateLine | undefined): WrennError {
  if (state?.state !== "failed")
    return new WrennError("sandbox_unreachable", "Cannot start the VM: its shim was killed");
  return new WrennError("internal", `Cannot start the VM: ${state.what}: ${state.message ?? state.errno ?? "unknown"}`);
}

async function firstLine(stream: NodeJS.ReadableStream | null): Promise<string | undefined> {
  if (stream === null) return undefined;
  for await (const line of createInterface({ input: stream })) return line;
  return undefined;
}
