import { defineCommand } from "../../define-command.ts";
import { formatTable } from "../../terminal/table.ts";

export const listKeysCommand = defineCommand({
  name: "list",
  aliases: ["ls"],
  summary: "List the team's API keys",
  examples: [["wrenn key list", "which there are, and when each was used last"]],
  async run({ connect, output, signal }) {
    const keys = await Array.fromAsync((await connect()).list("listApiKeys", { signal }));
    output.result(keys, () => {
      if (keys.length === 0) return "No API keys";
      const rows = keys.map((key) => [
        key.id,
        key.name,
        `${key.key_prefix}…`,
        key.last_used ?? "never",
        key.expires_at ?? "never",
        key.scopes.join(","),
      ]);
      return formatTable(["ID", "NAME", "KEY", "LAST USED", "EXPIRES", "SCOPES"], rows);
    });
  },
});
