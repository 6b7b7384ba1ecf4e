import type { Template } from "@wrenn/api-schema";
import { defineCommand } from "../../define-command.ts";
import { formatTable } from "../../terminal/table.ts";
import { formatBytes, formatDuration } from "../../terminal/units.ts";

const QUIET = { flags: "-q, --quiet", description: "print names only" } as const;

/** `template list` shows every template, `snapshot list` those that were made of sandboxes. */
const listCommand = (
  summary: string,
  type: Template["type"] | undefined,
  empty: string,
  examples: readonly (readonly [string, string])[],
) =>
  defineCommand<{ quiet?: boolean }>({
    name: "list",
    aliases: ["ls"],
    summary,
    options: [QUIET],
    examples,
    async run({ connect, output, signal }, _args, options) {
      const client = await connect();
      const templates = await Array.fromAsync(
        client.list("listTemplates", { query: type === undefined ? {} : { type }, signal }),
      );
      if (!output.json && options.quiet === true) {
        for (const { name } of templates) output.line(name);
        return;
      }
      output.result(templates, () => (templates.length === 0 ? empty : formatTable(COLUMNS, templates.map(rowOf))));
    },
  });

export const listTemplatesCommand = listCommand("List templates", undefined, "No templates", [
  ["wrenn template list", "what they hold, and how many sandboxes were made from each"],
  ["wrenn template list --json | jq -r '.[].name'", "their names, in a script"],
]);
export const listSnapshotsCommand = listCommand(
  "List the templates that were made of sandboxes",
  "snapshot",
  "No snapshots",
  [["wrenn snapshot list", "what was kept of sandboxes"]],
);

const COLUMNS = ["NAME", "TYPE", "VCPUS", "MEMORY", "SIZE", "SHARED", "SANDBOXES", "AGE"];

function rowOf(template: Template): string[] {
  return [
    template.name,
    template.type,
    String(template.vcpus),
    `${template.memory_mb} MiB`,
    formatBytes(template.size_bytes),
    formatBytes(template.shared_bytes),
    String(template.sandboxes),
    formatDuration(Math.max(0, Date.now() - Date.parse(template.created_at))),
  ];
}
