import { defineCommand } from "../../define-command.ts";
import { formatTable } from "../../terminal/table.ts";

export const psCommand = defineCommand({
  name: "ps",
  summary: "List the commands that run in a sandbox",
  description: ["Those that were started through the API."],
  arguments: [{ syntax: "<id>", description: "the sandbox" }],
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
