import type { Member, Role } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { ApiClient } from "../../api/client.ts";
import { defineCommand } from "../../define-command.ts";
import { formatTable } from "../../terminal/table.ts";
import { TEAM_OPTION, teamIdOf } from "./current-team.ts";
import { ROLE_CHOICES } from "./roles.ts";

const WHO = { syntax: "<member>", description: "the address or the id of the user", completes: "member" } as const;

export const membersCommand = defineCommand<{ team?: string }>({
  name: "members",
  summary: "List the members of a team",
  options: [TEAM_OPTION],
  examples: [["wrenn team members", "who is in it, and may do what"]],
  async run({ connect, output, signal }, _args, { team }) {
    const client = await connect();
    const members = await membersOf(client, await teamIdOf(client, team, signal), signal);
    output.result(members, () =>
      formatTable(
        ["ID", "EMAIL", "ROLE", "JOINED"],
        members.map(({ user_id, email, role, joined_at }) => [user_id, email, role, joined_at]),
      ),
    );
  },
});

export const roleCommand = defineCommand<{ team?: string }>({
  name: "role",
  summary: "Change the role of a member",
  arguments: [WHO, { syntax: "<role>", description: "the new role", choices: ROLE_CHOICES }],
  options: [TEAM_OPTION],
  examples: [["wrenn team role ada@example.org admin", "let somebody manage members and keys"]],
  async run({ connect, output, signal }, [who = "", role = ""], { team }) {
    const client = await connect();
    const path = await memberOf(client, await teamIdOf(client, team, signal), who, signal);
    const member = await client.call("changeRole", { path, body: { role: role as Role }, signal });
    output.result(member, () => `${member.email} is ${member.role}`);
  },
});

export const removeMemberCommand = defineCommand<{ team?: string }>({
  name: "remove",
  summary: "Remove a member, or leave",
  description: ["Ends the member's sessions for the team at once. API keys are the team's: they stay."],
  arguments: [WHO],
  options: [TEAM_OPTION],
  examples: [["wrenn team remove ada@example.org", "somebody who left"]],
  async run({ connect, output, signal }, [who = ""], { team }) {
    const client = await connect();
    const path = await memberOf(client, await teamIdOf(client, team, signal), who, signal);
    await client.call("removeMember", { path, signal });
    output.note("API keys that the member knows still work: wrenn key list");
    output.result({ removed: who }, () => who);
  },
});

async function membersOf(client: ApiClient, teamId: string, signal: AbortSignal): Promise<Member[]> {
  return await Array.fromAsync(client.list("listMembers", { path: { team_id: teamId }, signal }));
}

/** @throws WrennError `not_found` */
async function memberOf(
  client: ApiClient,
  teamId: string,
  who: string,
  signal: AbortSignal,
): Promise<{ team_id: string; user_id: string }> {
  const found = who.includes("@")
    ? (await membersOf(client, teamId, signal)).find(({ email }) => email === who.trim().toLowerCase())?.user_id
    : who;
  if (found !== undefined) return { team_id: teamId, user_id: found };
  throw new WrennError("not_found", `Cannot find ${who} in the team`, { hint: "wrenn team members lists them" });
}
