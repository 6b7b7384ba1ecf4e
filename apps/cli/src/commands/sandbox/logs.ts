import { defineCommand } from "../../define-command.ts";

export const logsCommand = defineCommand<{ raw?: boolean }>({
  name: "logs",
  summary: "Show the console of a sandbox's VM",
  description: [
    "Shows what the guest's kernel and init printed, the newest 256 KiB. Run it as root on the sandbox's host; the platform need not run.",
  ],
  arguments: [{ syntax: "<id>", description: "the sandbox", completes: "sandbox" }],
  options: [{ flags: "--raw", description: "the bytes as they are; a terminal may act on them" }],
  examples: [["wrenn sandbox logs $id", "why did it not boot?"]],
  async run({ config, output }, [id = ""], options) {
    const { printable, readConsole, readStoredSandbox } = await import("../../debug/sandbox-directory.ts");
    const bytes = await readConsole((await readStoredSandbox(config, id)).directory);
    if (options.raw === true) process.stdout.write(bytes);
    else output.result({ id, console: printable(bytes) }, () => printable(bytes).trimEnd());
  },
});
