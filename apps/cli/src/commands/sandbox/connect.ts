import { defineCommand } from "../../define-command.ts";
import { EXIT } from "../../exit-code.ts";
import { parseInteger } from "../../terminal/units.ts";

/** Whatever shell the guest has; a login shell, as after logging in. */
const SHELL = ["sh", "-c", "exec $(command -v bash || echo sh) -l"] as const;

interface ConnectOptions {
  user?: string;
  pid?: number;
  tty?: boolean;
}

export const connectCommand = defineCommand<ConnectOptions>({
  name: "connect",
  summary: "Open a shell in a sandbox, or go on with a command that runs there",
  description: [
    "Opens a login shell in a terminal; it ends with the connection.",
    "With --pid it goes on with a command that runs already, such as one of exec --detach: what the guest has kept of its output (256 KiB) comes first, then what it prints, and standard input goes to it. Ctrl-C leaves it running, unless it is in a terminal (--tty), where every key is its own; close this one to leave.",
  ],
  arguments: [{ syntax: "<id>", description: "the sandbox", completes: "sandbox" }],
  options: [
    { flags: "-u, --user <name>", description: "user in the sandbox" },
    { flags: "--pid <pid>", description: "the command to go on with; ps lists them", parse: parseInteger },
    { flags: "-t, --tty", description: "with --pid: the command runs in a terminal" },
  ],
  examples: [
    ["wrenn sandbox connect $id", "look around"],
    ["wrenn sandbox connect $id --pid 712", "go on with a command"],
  ],
  failureExitCode: EXIT.runFailed,
  async run(context, [id = ""], { user, pid, tty }) {
    const { attachInSandbox, runInSandbox } = await import("../../exec/run-in-sandbox.ts");
    const client = await context.connect();
    if (pid !== undefined) return await attachInSandbox(context, client, id, { pid, tty: tty === true });
    return await runInSandbox(context, client, id, {
      argv: SHELL,
      tty: true,
      envs: { TERM: context.config.env["TERM"] ?? "xterm" },
      ...(user === undefined ? {} : { user }),
    });
  },
});
