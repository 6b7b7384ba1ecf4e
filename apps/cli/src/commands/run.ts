import { WrennError } from "@wrenn/errors";
import type { CommandContext } from "../define-command.ts";
import { defineCommand } from "../define-command.ts";
import { EXIT } from "../exit-code.ts";
import {
  COMMAND_OPTIONS,
  NEW_SANDBOX_OPTIONS,
  newSandboxBody,
  sandboxCommand,
  type CommandOptions,
  type NewSandboxOptions,
} from "./sandbox-options.ts";

interface RunOptions extends NewSandboxOptions, CommandOptions {
  keep?: boolean;
}

/** A sandbox that nobody uses any more, for its CLI was killed, ends after this time. */
const IDLE_TIMEOUT_SEC = 300;
const PING_INTERVAL_MS = 60_000;
const DESTROY_DEADLINE_MS = 30_000;

export const runCommand = defineCommand<RunOptions>({
  name: "run",
  summary: "Run a command in a new sandbox",
  description: [
    "Runs a command in a new sandbox, as if it ran here: standard input, output and error, signals and exit code. Starts the platform if it does not run. The sandbox is destroyed afterwards, unless --keep is given.",
    "The words are the program and its arguments; no shell is in between. For one, write: sh -c '...'.",
    "Exit code: the command's; 128 + N when signal N ended it; 124 when --timeout did; 127 when there is no such program, 126 when it cannot be started; 125 when Wrenn failed.",
  ],
  arguments: [{ syntax: "<command...>", description: "the program and its arguments", completes: "command" }],
  options: [
    ...NEW_SANDBOX_OPTIONS,
    ...COMMAND_OPTIONS,
    { flags: "-k, --keep", description: "keep the sandbox and print its id" },
  ],
  examples: [
    ["wrenn run -- python3 -c 'print(2**100)'", "compute something"],
    ["wrenn run --memory 2G --env TOKEN -- sh -c 'make test'", "a shell line, with a variable from here"],
    ["wrenn run < notes.txt -- wc -l", "with standard input"],
    ["wrenn run --tty -- bash", "look around"],
  ],
  passThrough: true,
  failureExitCode: EXIT.runFailed,
  async run(context, argv, options) {
    const { runInSandbox } = await import("../exec/run-in-sandbox.ts");
    if (context.config.WRENN_API_URL === undefined) await startIfNeeded(context);
    const client = await context.connect();
    const command = sandboxCommand(argv, options, context.config.env);
    // Not aborted by Ctrl-C: only its answer tells which sandbox is to be destroyed.
    const created = client.call("createSandbox", {
      body: {
        ...newSandboxBody(options),
        timeout_sec: options.keep === true ? 0 : IDLE_TIMEOUT_SEC,
        metadata: { "wrenn.run": argv.join(" ").slice(0, 200) },
      },
    });
    context.signal.addEventListener("abort", () =>
      context.output.note("Stopping: the sandbox is removed first; Ctrl-C again gives up"),
    );
    const sandbox = await created;
    const ping = (): void => void client.call("pingSandbox", { path: { id: sandbox.id } }).catch(() => undefined);
    const active = setInterval(ping, PING_INTERVAL_MS);
    try {
      context.signal.throwIfAborted();
      return await runInSandbox(context, client, sandbox.id, command);
    } finally {
      clearInterval(active);
      if (options.keep === true)
        context.output.note(`wrenn: kept ${sandbox.id}; remove it with: wrenn sandbox rm ${sandbox.id}`);
      else await destroy(context, client, sandbox.id);
    }
  },
});

/** Without root the platform cannot be started, but one that runs can be used. */
async function startIfNeeded(context: CommandContext): Promise<void> {
  if (process.getuid?.() !== 0 && context.config.WRENN_API_KEY !== undefined) return;
  const { ensurePlatform } = await import("../platform/start-platform.ts");
  await ensurePlatform(context);
}

async function destroy(
  { output }: CommandContext,
  client: { destroySandbox(id: string, signal: AbortSignal): Promise<void> },
  id: string,
): Promise<void> {
  try {
    await client.destroySandbox(id, AbortSignal.timeout(DESTROY_DEADLINE_MS));
  } catch (thrown) {
    const error = WrennError.from(thrown);
    if (error.code === "not_found") return;
    output.note(
      `wrenn: cannot remove the sandbox ${id}: ${error.message}; it ends by itself in ${IDLE_TIMEOUT_SEC / 60} minutes`,
    );
  }
}
