import { defineCommand } from "../../define-command.ts";
import { formatTable } from "../../terminal/table.ts";
import { formatDuration } from "../../terminal/units.ts";

export const listCommand = defineCommand<{ status?: string; quiet?: boolean }>({
  name: "list",
  aliases: ["ls"],
  summary: "List sandboxes",
  options: [
    { flags: "--status <statuses>", description: "only these, separated by commas, such as running,paused" },
    { flags: "-q, --quiet", description: "print ids only" },
  ],
  examples: [["wrenn sandbox list -q --status paused | xargs wrenn sandbox rm", "remove what is paused"]],
  async run({ connect, output, signal }, _args, options) {
    const client = await connect();
    const query = options.status === undefined ? {} : { status: options.status };
    const sandboxes = await Array.fromAsync(client.list("listSandboxes", { query, signal }));
    if (!output.json && options.quiet === true) {
      for (const { id } of sandboxes) output.line(id);
      return;
    }
    output.result(sandboxes, () => {
      if (sandboxes.length === 0) return "No sandboxes";
      const rows = sandboxes.map(({ id, status, health, template, vcpus, memory_mb, created_at }) => [
        id,
        health === "unresponsive" ? `${status}, ${health}` : status,
        template,
        String(vcpus),
        `${memory_mb} MiB`,
        formatDuration(Math.max(0, Date.now() - Date.parse(created_at))),
      ]);
      return formatTable(["ID", "STATUS", "TEMPLATE", "VCPUS", "MEMORY", "AGE"], rows);
    });
  },
});
