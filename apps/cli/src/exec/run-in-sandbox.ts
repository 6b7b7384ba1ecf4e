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
  const { output, interrupts } = context;
  if (command.tty === true && !(process.stdin.isTTY && process.stdout.isTTY)) {
    throw new WrennError("invalid_request", "Cannot give the command a terminal: this is not run in one", {
      hint: "Leave out --tty",
    });
  }
  const [program, ...args] = command.argv;
  const execution = await client.start(sandboxId, program, { args, ...settingsOf(command), signal: context.signal });
  const forwarded = new AbortController();
  using _signals = forwardSignals(execution, interrupts);
  const terminal = command.tty === true ? attachTerminal(execution) : undefined;
  const input = forwardInput(execution, forwarded.signal);
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
  } catch (thrown) {
    return commandError(context, command, ownError(thrown));
  } finally {
    terminal?.[Symbol.dispose](); // before standard input is given up
    forwarded.abort();
    await execution.close();
    await input;
  }
}

function settingsOf({ cwd, user, envs, timeoutSec, tty }: SandboxCommand): ExecutionOptions {
  return {
    stdin: true,
    ...(cwd === undefined ? {} : { cwd }),
    ...(user === undefined ? {} : { user }),
    ...(envs === undefined ? {} : { envs }),
    ...(timeoutSec === undefined ? {} : { timeoutMs: timeoutSec * 1_000 }),
    ...(tty === true ? { pty: terminalSize() } : {}),
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

/** Copies standard input, then closes the command's. */
async function forwardInput(execution: Execution, signal: AbortSignal): Promise<void> {
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
  if (!signal.aborted) await execution.closeInput();
}

/** A terminal without a size, such as a container's, is as large as terminals used to be. */
function terminalSize(): { cols: number; rows: number } {
  return { cols: process.stdout.columns || 80, rows: process.stdout.rows || 24 };
}

/** Makes this terminal raw, and passes on its size. */
function attachTerminal(execution: Execution): Disposable {
  const stdin = process.stdin as ReadStream;
  const resize = (): void => {
    void execution.resize(terminalSize());
  };
  stdin.setRawMode(true);
  process.stdout.on("resize", resize);
  return {
    [Symbol.dispose]: () => {
      process.stdout.off("resize", resize);
      stdin.setRawMode(false);
    },
  };
}
