import type { Member } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { ApiClient } from "../../api/client.ts";
import { defineCommand } from "../../define-command.ts";
import { formatTable } from "../../terminal/table.ts";
import { TEAM_OPTION, teamPath } from "./current-team.ts";
import { ROLE_CHOICES } from "./roles.ts";

const WHO = { syntax: "<member>", description: "the address or the id of the user", completes: "member" } as const;

export const membersCommand = defineCommand<{ team?: string }>({
  name: "members",
  summary: "List the members of a team",
  options: [TEAM_OPTION],
  examples: [["wrenn team members", "who is in it, and may do what"]],
  async run({ connect, output, signal }, _args, { team }) {
    const client = await connect();
    const members = await allMembers(client, await teamPath(client, team, signal), signal);
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
    const path = await memberPath(client, await teamPath(client, team, signal), who, signal);
    const member = await client.send<Member>("PATCH", path, { body: { role }, signal });
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
    await client.send("DELETE", await memberPath(client, await teamPath(client, team, signal), who, signal), {
      signal,
    });
    output.note("API keys that the member knows still work: wrenn key list");
    output.result({ removed: who }, () => who);
  },
});

async function allMembers(client: ApiClient, team: string, signal: AbortSignal): Promise<Member[]> {
  return await Array.fromAsync(client.pages<Member>(`${team}/members`, {}, signal));
}

async function memberPath(client: ApiClient, team: string, who: string, signal: AbortSignal): Promise<string> {
  const found = who.includes("@")
    ? (await allMembers(client, team, signal)).find(({ email }) => email === who.trim().toLowerCase())?.user_id
    : who;
  if (found !== undefined) return `${team}/members/${encodeURIComponent(found)}`;
  throw new WrennError("not_found", `Cannot find ${who} in the team`, { hint: "wrenn team members lists them" });
}
