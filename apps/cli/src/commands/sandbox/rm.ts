import { defineCommand } from "../../define-command.ts";
import { removeEach } from "../../remove-each.ts";

export const rmCommand = defineCommand<{ force?: boolean }>({
  name: "rm",
  summary: "Destroy sandboxes",
  arguments: [{ syntax: "<id...>", description: "the sandboxes" }],
  options: [{ flags: "-f, --force", description: "do not mind those that do not exist" }],
  async run({ connect, output, signal }, ids, options) {
    const client = await connect();
    return await removeEach(output, ids, { ...options, past: "destroyed" }, (id) => client.destroySandbox(id, signal));
  },
});
