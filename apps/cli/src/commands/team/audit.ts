import type { AuditEntry } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { defineCommand } from "../../define-command.ts";
import { formatTable } from "../../terminal/table.ts";
import { TEAM_OPTION, teamIdOf } from "./current-team.ts";

const DEFAULT_COUNT = 50;

export const auditCommand = defineCommand<{ team?: string; count?: number }>({
  name: "audit",
  summary: "Tell who did what, newest first",
  options: [
    { flags: "-n, --count <n>", description: `how many entries (default: ${DEFAULT_COUNT})`, parse: parseCount },
    TEAM_OPTION,
  ],
  examples: [["wrenn team audit -n 10", "the last ten"]],
  async run({ connect, output, signal }, _args, { team, count = DEFAULT_COUNT }) {
    const client = await connect();
    const path = { team_id: await teamIdOf(client, team, signal) };
    const entries: AuditEntry[] = [];
    for await (const entry of client.list("listAuditLog", { path, signal })) {
      if (entries.push(entry) >= count) break;
    }
    output.result(entries, () => {
      if (entries.length === 0) return "Nothing yet";
      const rows = entries.map(({ created_at, actor, action, target_id = "", address = "" }) => [
        created_at,
        actor.name,
        action,
        target_id,
        address,
      ]);
      return formatTable(["WHEN", "WHO", "WHAT", "TO WHAT", "FROM"], rows);
    });
  },
});

function parseCount(text: string): number {
  const count = Number(text);
  if (Number.isSafeInteger(count) && count > 0) return count;
  throw new WrennError("invalid_request", `Cannot read ${JSON.stringify(text)} as a count`, {
    hint: "Write a whole number above 0",
  });
}
