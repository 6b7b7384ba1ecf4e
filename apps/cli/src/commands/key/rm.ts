import { defineCommand } from "../../define-command.ts";
import { removeEach } from "../../remove-each.ts";

export const rmKeysCommand = defineCommand({
  name: "rm",
  summary: "Delete API keys; they stop working at once",
  arguments: [{ syntax: "<id...>", description: "the keys, by their ids", completes: "key" }],
  examples: [
    ["wrenn key list --json | jq -r '.[] | select(.name == \"ci\").id' | xargs wrenn key rm", "those of a name"],
  ],
  async run({ connect, output, signal }, ids) {
    const client = await connect();
    return await removeEach(output, ids, { past: "deleted" }, (id) =>
      client.call("deleteApiKey", { path: { id }, signal }),
    );
  },
});
