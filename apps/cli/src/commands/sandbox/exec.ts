import { defineCommand } from "../../define-command.ts";
import { EXIT } from "../../exit-code.ts";
import { COMMAND_OPTIONS, sandboxCommand, type CommandOptions } from "../sandbox-options.ts";

interface ExecOptions extends CommandOptions {
  detach?: boolean;
}

export const execCommand = defineCommand<ExecOptions>({
  name: "exec",
  summary: "Run a command in a sandbox",
  description: [
    "Runs a command in a sandbox as if it ran here: standard input, output and error, signals and exit code. The words are the program and its arguments; no shell is in between. Exit codes are those of wrenn run.",
  ],
  arguments: [
    { syntax: "<id>", description: "the sandbox", completes: "sandbox" },
    { syntax: "<command...>", description: "the program and its arguments", completes: "command" },
  ],
  options: [
    ...COMMAND_OPTIONS,
    { flags: "-d, --detach", description: "print its pid and let it run; go on with it: connect --pid" },
  ],
  examples: [
    ["wrenn sandbox exec --tty $id -- bash", "look around"],
    ["pid=$(wrenn sandbox exec --detach $id -- python3 -m http.server)", "a command that stays"],
  ],
  passThrough: true,
  failureExitCode: EXIT.runFailed,
  async run(context, [id = "", ...words], options) {
    const { runInSandbox, startInSandbox } = await import("../../exec/run-in-sandbox.ts");
    const command = sandboxCommand(words[0] === "--" ? words.slice(1) : words, options, context.config.env);
    const client = await context.connect();
    if (options.detach !== true) return await runInSandbox(context, client, id, command);
    const pid = await startInSandbox(context, client, id, command);
    context.output.result({ pid }, () => String(pid));
    return EXIT.done;
  },
});
