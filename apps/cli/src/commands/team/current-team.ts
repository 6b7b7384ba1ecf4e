import type { Identity } from "@wrenn/api-schema";
import type { ApiClient } from "../../api/client.ts";
import type { OptionDefinition } from "../../define-command.ts";

export const TEAM_OPTION: OptionDefinition = {
  flags: "--team <id>",
  description: "another team than the one that you work in",
  completes: "team",
};

/** The path of the team that a command is about: the one that was named, else that of the session or the key. */
export async function teamPath(client: ApiClient, named: string | undefined, signal: AbortSignal): Promise<string> {
  const id = named ?? (await client.send<Identity>("GET", "/v1/auth/me", { signal })).team.id;
  return `/v1/teams/${encodeURIComponent(id)}`;
}
