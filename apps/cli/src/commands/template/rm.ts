import { WrennError } from "@wrenn/errors";
import { defineCommand } from "../../define-command.ts";
import { exitCodeOf } from "../../exit-code.ts";

const rmCommand = (summary: string, what: string) =>
  defineCommand<{ force?: boolean }>({
    name: "rm",
    summary,
    description: [`${summary}. Sandboxes that were made from them stay and can be paused and resumed.`],
    arguments: [{ syntax: "<name...>", description: what }],
    options: [{ flags: "-f, --force", description: "do not mind those that do not exist" }],
    async run({ connect, output, signal }, names, options) {
      const client = await connect();
      let exitCode = 0;
      const deleted: string[] = [];
      for (const name of names) {
        try {
          await client.call("deleteTemplate", { path: { name }, signal });
          deleted.push(name);
          if (!output.json) output.line(name);
        } catch (thrown) {
          const error = WrennError.from(thrown);
          if (error.code === "not_found" && options.force === true) continue;
          if (error.code === "canceled" || error.code === "unavailable") throw error;
          output.error(error);
          exitCode = exitCodeOf(error);
        }
      }
      if (output.json) output.line(JSON.stringify({ deleted }));
      return exitCode;
    },
  });

export const rmTemplateCommand = rmCommand("Delete templates", "the templates");
export const rmSnapshotCommand = rmCommand("Delete snapshots", "the snapshots");
