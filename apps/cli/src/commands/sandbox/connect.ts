import { defineCommand } from "../../define-command.ts";
import { EXIT } from "../../exit-code.ts";

/** Whatever shell the guest has; a login shell, as after logging in. */
const SHELL = ["sh", "-c", "exec $(command -v bash || echo sh) -l"] as const;

export const connectCommand = defineCommand<{ user?: string }>({
  name: "connect",
  summary: "Open a shell in a sandbox",
  description: [
    "Opens a login shell in a sandbox, in this terminal; it ends with the connection. Exit codes are those of wrenn run.",
  ],
  arguments: [{ syntax: "<id>", description: "the sandbox", completes: "sandbox" }],
  options: [{ flags: "-u, --user <name>", description: "user in the sandbox" }],
  examples: [["wrenn sandbox connect $id", "look around"]],
  failureExitCode: EXIT.runFailed,
  json: false,
  async run(context, [id = ""], { user }) {
    const { runInSandbox } = await import("../../exec/run-in-sandbox.ts");
    return await runInSandbox(context, await context.connect(), id, {
      argv: SHELL,
      tty: true,
      envs: { TERM: context.config.env["TERM"] ?? "xterm" },
      ...(user === undefined ? {} : { user }),
    });
  },
});
