import { defineCommand } from "../../define-command.ts";
import { removeEach } from "../../remove-each.ts";

const rmCommand = (summary: string, what: string) =>
  defineCommand<{ force?: boolean }>({
    name: "rm",
    summary,
    description: [`${summary}. Sandboxes that were made from them stay and can be paused and resumed.`],
    arguments: [{ syntax: "<name...>", description: what }],
    options: [{ flags: "-f, --force", description: "do not mind those that do not exist" }],
    async run({ connect, output, signal }, names, options) {
      const client = await connect();
      return await removeEach(output, names, { ...options, past: "deleted" }, (name) =>
        client.call("deleteTemplate", { path: { name }, signal }),
      );
    },
  });

export const rmTemplateCommand = rmCommand("Delete templates", "the templates");
export const rmSnapshotCommand = rmCommand("Delete snapshots", "the snapshots");
