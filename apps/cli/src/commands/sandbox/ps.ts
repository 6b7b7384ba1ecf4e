import { defineCommand } from "../../define-command.ts";
import { formatTable } from "../../terminal/table.ts";

export const psCommand = defineCommand({
  name: "ps",
  summary: "List the commands that run in a sandbox",
  description: [
    "Lists the commands that run in a sandbox: those that were started through the API, by whatever client.",
  ],
  arguments: [{ syntax: "<id>", description: "the sandbox", completes: "sandbox" }],
  examples: [["wrenn sandbox ps $id", "what runs in it"]],
  async run({ connect, output, signal }, [id = ""]) {
    const processes = await (await connect()).call("listProcesses", { path: { id }, signal });
    output.result(processes, () =>
      formatTable(
        ["PID", "COMMAND"],
        processes.map(({ pid, cmd, args }) => [String(pid), [cmd, ...args].join(" ")]),
      ),
    );
  },
});
