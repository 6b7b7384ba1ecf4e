/**
 * Runs a command in a sandbox as if it ran here: standard input, output and error, signals, terminal and
 * exit code.
 */
import type { ReadStream } from "node:tty";
import { WrennError } from "@wrenn/errors";
import type { Execution, ExecutionEvent, ExecutionOptions } from "@wrenn/sdk";
import { ownError, type ApiClient } from "../api/client.ts";
import type { CommandContext } from "../define-command.ts";
import { EXIT } from "../exit-code.ts";
import { writeAll } from "./write-all.ts";

/** Of a terminal that nobody looks at yet. */
const DETACHED_SIZE = { cols: 80, rows: 24 };

/** What to run and how. */
export interface SandboxCommand {
  argv: readonly [string, ...string[]];
  cwd?: string;
  user?: string;
  envs?: Record<string, string>;
  /** Kills the command after this time. */
  timeoutSec?: number;
  /** Gives the command a terminal; this side's becomes raw. */
  tty?: boolean;
}

/** @returns the exit code for this process */
export async function runInSandbox(
  context: CommandContext,
  client: ApiClient,
  sandboxId: string,
  command: SandboxCommand,
): Promise<number> {
  if (command.tty === true) requireTerminal();
  const [program, ...args] = command.argv;
  const execution = await client.start(sandboxId, program, {
    args,
    ...settingsOf(command),
    stdin: true,
    ...(command.tty === true ? { pty: terminalSize() } : {}),
    signal: context.signal,
  });
  using _signals = forwardSignals(execution, context.interrupts);
  try {
    return await follow(context, sandboxId, execution, { tty: command.tty === true, closeInput: true });
  } catch (thrown) {
    return commandError(context, command, ownError(thrown));
  }
}

/** Starts a command that goes on without this process. @returns its pid */
export async function startInSandbox(
  context: CommandContext,
  client: ApiClient,
  sandboxId: string,
  command: SandboxCommand,
): Promise<number> {
  const [program, ...args] = command.argv;
  const execution = await client.start(sandboxId, program, {
    args,
    ...settingsOf(command),
    ...(command.tty === true ? { pty: DETACHED_SIZE } : {}),
    onDisconnect: "keep",
    signal: context.signal,
  });
  for await (const event of execution) if (event.type === "start") return event.pid;
  throw new WrennError("internal", "Cannot start the command: the platform did not tell its pid");
}

/**
 * Goes on with a command that runs already. Leaving does not end it: Ctrl-C does that here, and nothing in a terminal,
 * where every key is the command's.
 * @returns the exit code for this process
 */
export async function attachInSandbox(
  context: CommandContext,
  client: ApiClient,
  sandboxId: string,
  { pid, tty }: { pid: number; tty: boolean },
): Promise<number> {
  if (tty) requireTerminal();
  const { output, signal } = context;
  const execution = await client.attach(sandboxId, pid, {
    offsets: { stdout: 0, stderr: 0, pty: 0 },
    pty: tty,
    onDisconnect: "keep",
    signal,
  });
  if (tty) await execution.resize(terminalSize());
  try {
    return await follow(context, sandboxId, execution, { tty, closeInput: false });
  } catch (thrown) {
    if (!signal.aborted) throw ownError(thrown);
    output.note(`wrenn: left ${pid}; it runs on`);
    throw signal.reason;
  }
}

/** Passes on what the command prints and what is typed here, until it ends. @returns its exit code */
async function follow(
  { output }: CommandContext,
  sandboxId: string,
  execution: Execution,
  { tty, closeInput }: { tty: boolean; closeInput: boolean },
): Promise<number> {
  const left = new AbortController();
  const terminal = tty ? attachTerminal(execution) : undefined;
  const input = forwardInput(execution, { closeInput, signal: left.signal });
  try {
    for await (const event of execution) {
      if (output.json) output.line(JSON.stringify({ ...frameOf(event), sandbox_id: sandboxId }));
      switch (event.type) {
        case "start":
          break;
        case "stdout":
        case "pty":
          if (!output.json && !(await writeAll(process.stdout, event.data))) return EXIT.outputClosed;
          break;
        case "stderr":
          if (!output.json) await writeAll(process.stderr, event.data);
          break;
        case "exit":
          if (event.oom)
            output.note("wrenn: the guest ran out of memory and killed the command; give it more with --memory");
          return event.exitCode;
      }
    }
    return EXIT.runFailed;
  } finally {
    terminal?.[Symbol.dispose](); // before standard input is given up
    left.abort();
    await execution.close();
    await input;
  }
}

function requireTerminal(): void {
  if (process.stdin.isTTY && process.stdout.isTTY) return;
  throw new WrennError("invalid_request", "Cannot give the command a terminal: this is not run in one", {
    hint: "Leave out --tty",
  });
}

function settingsOf({ cwd, user, envs, timeoutSec }: SandboxCommand): ExecutionOptions {
  return {
    ...(cwd === undefined ? {} : { cwd }),
    ...(user === undefined ? {} : { user }),
    ...(envs === undefined ? {} : { envs }),
    ...(timeoutSec === undefined ? {} : { timeoutMs: timeoutSec * 1_000 }),
  };
}

/** The exit code of a command that did not exit by itself, when that says enough; else throws. */
function commandError({ output }: CommandContext, { timeoutSec }: SandboxCommand, error: WrennError): number {
  if (error.code === "command_failed") {
    output.error(error);
    return /not found|no such file/i.test(error.message) ? EXIT.commandNotFound : EXIT.commandNotExecutable;
  }
  if (error.code === "timeout" && timeoutSec !== undefined) {
    output.error(
      new WrennError("timeout", `Stopped the command: it did not end within ${timeoutSec} s`, { cause: error }),
    );
    return EXIT.commandTimeout;
  }
  throw error;
}

/** As the API's stream has it: docs/reference/api.md. */
function frameOf(event: ExecutionEvent): object {
  switch (event.type) {
    case "start":
      return event;
    case "exit": {
      const { type, exitCode, signal, oom, status } = event;
      return { type, exit_code: exitCode, ...(signal === undefined ? {} : { signal }), status, oom };
    }
    default:
      return { type: event.type, data: Buffer.from(event.data).toString("base64"), encoding: "base64" };
  }
}

/** The first Ctrl-C goes to the command; the second kills it. Any other signal goes to it too. */
function forwardSignals(execution: Execution, interrupts: CommandContext["interrupts"]): Disposable {
  let interrupted = false;
  return interrupts.take((signal) => {
    const again = signal === "SIGINT" && interrupted;
    interrupted ||= signal === "SIGINT";
    void execution.kill(again ? "SIGKILL" : signal);
  });
}

/** Copies standard input, then closes the command's if that is wanted. */
async function forwardInput(
  execution: Execution,
  { closeInput, signal }: { closeInput: boolean; signal: AbortSignal },
): Promise<void> {
  const { stdin } = process;
  signal.addEventListener("abort", () => stdin.destroy(), { once: true });
  try {
    for await (const chunk of stdin as AsyncIterable<Buffer>) {
      await execution.write(chunk);
    }
  } catch (error) {
    // this end was closed (`<&-`), is a directory, or has been given up
    if (!signal.aborted && (error as NodeJS.ErrnoException).code === undefined) throw error;
  }
  if (closeInput && !signal.aborted) await execution.closeInput();
}

/** A terminal without a size, such as a container's, is as large as terminals used to be. */
function terminalSize(): { cols: number; rows: number } {
  return { cols: process.stdout.columns || 80, rows: process.stdout.rows || 24 };
}

/** Makes this terminal raw, and passes on its size. */
function attachTerminal(execution: Execution): Disposable {
  const stdin = process.stdin as ReadStream;
  const resize = (): void => void execution.resize(terminalSize());
  stdin.setRawMode(true);
  process.stdout.on("resize", resize);
  return {
    [Symbol.dispose]: () => {
      process.stdout.off("resize", resize);
      stdin.setRawMode(false);
    },
  };
}
