import { defineCommand } from "../../define-command.ts";
import { removeEach } from "../../remove-each.ts";

const rmCommand = (
  summary: string,
  what: string,
  completes: "template" | "snapshot",
  example: readonly [string, string],
) =>
  defineCommand<{ force?: boolean }>({
    name: "rm",
    summary,
    description: [`${summary}. Sandboxes that were made from them stay and can be paused and resumed.`],
    arguments: [{ syntax: "<name...>", description: what, completes }],
    options: [{ flags: "-f, --force", description: "do not mind those that do not exist" }],
    examples: [example],
    async run({ connect, output, signal }, names, options) {
      const client = await connect();
      return await removeEach(output, names, { ...options, past: "deleted" }, (name) =>
        client.call("deleteTemplate", { path: { name }, signal }),
      );
    },
  });

export const rmTemplateCommand = rmCommand("Delete templates", "the templates", "template", [
  "wrenn template rm web",
  "delete one",
]);
export const rmSnapshotCommand = rmCommand("Delete snapshots", "the snapshots", "snapshot", [
  "wrenn snapshot list -q | xargs wrenn snapshot rm",
  "delete all of the team",
]);
