import type { SetQuotasRequest } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { defineCommand, type OptionDefinition } from "../../define-command.ts";
import { formatTable } from "../../terminal/table.ts";
import { TEAM_OPTION, teamIdOf } from "./current-team.ts";

interface QuotaOptions {
  team?: string;
  sandboxes?: number | null;
  vcpus?: number | null;
  memory?: number | null;
  snapshots?: number | null;
}

const limit = (flags: string, description: string): OptionDefinition => ({ flags, description, parse: parseLimit });

export const quotaCommand = defineCommand<QuotaOptions>({
  name: "quota",
  summary: "Show what a team uses and may use, or limit it",
  description: [
    "Shows what a team uses and may use. With a limit, sets it: that is for who runs the platform (root, with the key of the first start). `none` means what the platform's configuration says.",
  ],
  options: [
    limit("--sandboxes <n>", "most sandboxes with a VM"),
    limit("--vcpus <n>", "most vcpus of those"),
    limit("--memory <MiB>", "most memory of those"),
    limit("--snapshots <bytes>", "most bytes of snapshots"),
    TEAM_OPTION,
  ],
  examples: [["wrenn team quota --sandboxes 20 --team team_…", "no more than 20 at once"]],
  async run({ connect, output, signal }, _args, { team, sandboxes, vcpus, memory, snapshots }) {
    const client = await connect();
    const path = { team_id: await teamIdOf(client, team, signal) };
    const body: SetQuotasRequest = {
      ...(sandboxes === undefined ? {} : { running_sandboxes: sandboxes }),
      ...(vcpus === undefined ? {} : { vcpus }),
      ...(memory === undefined ? {} : { memory_mb: memory }),
      ...(snapshots === undefined ? {} : { snapshot_bytes: snapshots }),
    };
    const isChange = Object.keys(body).length > 0;
    const usage = isChange
      ? await client.call("setQuotas", { path, body, signal })
      : await client.call("getUsage", { path, signal });
    output.result(usage, () =>
      formatTable(
        ["WHAT", "USED", "LIMIT"],
        Object.entries(usage).map(([name, one]) => [name, String(one.used), String(one.limit ?? "none")]),
      ),
    );
  },
});

function parseLimit(text: string): number | null {
  if (text === "none") return null;
  if (/^\d+$/.test(text) && Number.isSafeInteger(Number(text))) return Number(text);
  throw new WrennError("invalid_request", `Cannot read ${JSON.stringify(text)} as a limit`, {
    hint: "Write a whole number, or none",
  });
}
