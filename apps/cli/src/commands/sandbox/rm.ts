import { defineCommand } from "../../define-command.ts";
import { removeEach } from "../../remove-each.ts";

export const rmCommand = defineCommand<{ force?: boolean }>({
  name: "rm",
  summary: "Destroy sandboxes",
  arguments: [{ syntax: "<id...>", description: "the sandboxes", completes: "sandbox" }],
  options: [{ flags: "-f, --force", description: "do not mind those that do not exist" }],
  examples: [
    ["wrenn sandbox rm $id", "end one"],
    ["wrenn sandbox list -q | xargs wrenn sandbox rm -f", "end all"],
  ],
  async run({ connect, output, signal }, ids, options) {
    const client = await connect();
    return await removeEach(output, ids, { ...options, past: "destroyed" }, (id) => client.destroySandbox(id, signal));
  },
});
