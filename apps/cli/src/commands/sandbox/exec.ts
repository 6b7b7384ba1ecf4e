import { WrennError } from "@wrenn/errors";
import { defineCommand } from "../../define-command.ts";
import { EXIT } from "../../exit-code.ts";
import { parseSeconds } from "../../terminal/units.ts";
import { ENV_OPTION, resolveEnvs } from "../sandbox-options.ts";

interface ExecOptions {
  timeout?: number;
  env?: Record<string, string | null>;
  cwd?: string;
  user?: string;
  tty?: boolean;
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
    {
      flags: "--timeout <time>",
      description: "kill the command after this time, such as 90, 5m or 2h",
      parse: parseSeconds,
    },
    ENV_OPTION,
    { flags: "-C, --cwd <directory>", description: "working directory in the sandbox" },
    { flags: "-u, --user <name>", description: "user in the sandbox" },
    { flags: "-t, --tty", description: "give the command a terminal" },
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
    const argv = words[0] === "--" ? words.slice(1) : words;
    const [program, ...args] = argv;
    if (program === undefined) throw new WrennError("invalid_request", "Cannot run: no command is given");
    const envs = resolveEnvs(options.env, context.config.env);
    const command = {
      argv: [program, ...args] as const,
      ...(envs === undefined ? {} : { envs }),
      ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
      ...(options.user === undefined ? {} : { user: options.user }),
      ...(options.timeout === undefined ? {} : { timeoutSec: options.timeout }),
      ...(options.tty === undefined ? {} : { tty: options.tty }),
    };
    const client = await context.connect();
    if (options.detach !== true) return await runInSandbox(context, client, id, command);
    const pid = await startInSandbox(context, client, id, command);
    context.output.result({ pid }, () => String(pid));
    return EXIT.done;
  },
});
