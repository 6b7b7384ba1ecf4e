import type { ApiClient } from "../../api/client.ts";
import type { OptionDefinition } from "../../define-command.ts";

export const TEAM_OPTION: OptionDefinition = {
  flags: "--team <id>",
  description: "another team than the one that you work in",
  completes: "team",
};

/** The team that a command is about: the one that was named, else that of the session or the key. */
export async function teamIdOf(client: ApiClient, named: string | undefined, signal: AbortSignal): Promise<string> {
  return named ?? (await client.call("whoAmI", { signal })).team.id;
}
