import { WrennError } from "@wrenn/errors";
import { defineCommand } from "../../define-command.ts";
import { exitCodeOf } from "../../exit-code.ts";

export const rmCommand = defineCommand<{ force?: boolean }>({
  name: "rm",
  summary: "Destroy sandboxes",
  arguments: [{ syntax: "<id...>", description: "the sandboxes" }],
  options: [{ flags: "-f, --force", description: "do not mind those that do not exist" }],
  async run({ connect, output, signal }, ids, options) {
    const client = await connect();
    let exitCode = 0;
    const destroyed: string[] = [];
    for (const id of ids) {
      try {
        await client.destroySandbox(id, signal);
        destroyed.push(id);
        if (!output.json) output.line(id);
      } catch (thrown) {
        const error = WrennError.from(thrown);
        if (error.code === "not_found" && options.force === true) continue;
        if (error.code === "canceled" || error.code === "unavailable") throw error;
        output.error(error);
        exitCode = exitCodeOf(error);
      }
    }
    if (output.json) output.line(JSON.stringify({ destroyed }));
    return exitCode;
  },
});
