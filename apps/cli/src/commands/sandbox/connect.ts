import { defineCommand } from "../../define-command.ts";
import { EXIT } from "../../exit-code.ts";
import { parseInteger } from "../../terminal/units.ts";

/** Whatever shell the guest has; a login shell, as after logging in. */
const SHELL = ["sh", "-c", "exec $(command -v bash || echo sh) -l"] as const;

export const connectCommand = defineCommand<{ user?: string; pid?: number; tty?: boolean }>({
  name: "connect",
  summary: "Open a shell in a sandbox, or go on with a command in it",
  description: [
    "Opens a login shell in a terminal; it ends with the connection. With --pid it goes on with a command that runs already, whose output from now on is shown, and which runs on when this ends: wrenn sandbox ps lists them.",
  ],
  arguments: [{ syntax: "<id>", description: "the sandbox" }],
  options: [
    { flags: "-u, --user <name>", description: "user in the sandbox" },
    { flags: "--pid <pid>", description: "go on with this command", parse: parseInteger },
    { flags: "-t, --tty", description: "with --pid: the command has a terminal" },
  ],
  examples: [["wrenn sandbox connect $id", "look around"]],
  failureExitCode: EXIT.runFailed,
  async run(context, [id = ""], { user, pid, tty }) {
    const { connectToProcess, runInSandbox } = await import("../../exec/run-in-sandbox.ts");
    const client = await context.connect();
    if (pid !== undefined) return await connectToProcess(context, client, id, { pid, tty: tty === true });
    return await runInSandbox(context, client, id, {
      argv: SHELL,
      tty: true,
      envs: { TERM: context.config.env["TERM"] ?? "xterm" },
      ...(user === undefined ? {} : { user }),
    });
  },
});
