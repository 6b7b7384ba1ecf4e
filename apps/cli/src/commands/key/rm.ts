import { defineCommand } from "../../define-command.ts";

export const rmKeysCommand = defineCommand({
  name: "rm",
  summary: "Delete API keys; they stop working at once",
  arguments: [{ syntax: "<id...>", description: "the keys, by their ids", completes: "key" }],
  examples: [
    ["wrenn key list --json | jq -r '.[] | select(.name == \"ci\").id' | xargs wrenn key rm", "those of a name"],
  ],
  async run({ connect, output, signal }, ids) {
    const client = await connect();
    for (const id of ids) {
      await client.send("DELETE", `/v1/api-keys/${encodeURIComponent(id)}`, { signal });
      if (!output.json) output.line(id);
    }
    if (output.json) output.line(JSON.stringify({ deleted: ids }));
  },
});
