import type { CreateInvitationInput, Role } from "@wrenn/api-schema";
import { defineCommand } from "../../define-command.ts";
import { parseSeconds } from "../../terminal/units.ts";
import { TEAM_OPTION, teamIdOf } from "./current-team.ts";
import { ROLE_CHOICES } from "./roles.ts";

export const inviteCommand = defineCommand<{ role?: Role; expires?: number; team?: string }>({
  name: "invite",
  summary: "Invite somebody, and print the token to join with",
  arguments: [{ syntax: "[email]", description: "the only address that may use it; anybody's unless told" }],
  options: [
    { flags: "--role <role>", description: 'what the member may do (default: "member")', choices: ROLE_CHOICES },
    {
      flags: "--expires <time>",
      description: 'until when it can be used, such as 1h (default: "7d")',
      parse: parseSeconds,
    },
    TEAM_OPTION,
  ],
  examples: [["wrenn team invite ada@example.org --role admin", "somebody who may manage the team"]],
  async run({ connect, output, signal }, [email], { role, expires, team }) {
    const client = await connect();
    const body: CreateInvitationInput = {
      ...(email === undefined ? {} : { email }),
      ...(role === undefined ? {} : { role }),
      ...(expires === undefined ? {} : { expires_in_sec: expires }),
    };
    const path = { team_id: await teamIdOf(client, team, signal) };
    const invitation = await client.call("inviteMember", { path, body, signal });
    output.note("To join: wrenn team join TOKEN; without an account: wrenn login --sign-up EMAIL --invitation TOKEN");
    output.result(invitation, () => invitation.token);
  },
});

export const joinCommand = defineCommand({
  name: "join",
  summary: "Join a team by an invitation",
  arguments: [{ syntax: "<token>", description: "the token of the invitation" }],
  examples: [["wrenn team join $token", "with what wrenn team invite printed"]],
  async run({ connect, output, signal }, [token = ""]) {
    const team = await (await connect()).call("acceptInvitation", { body: { token }, signal });
    output.note(`To work in it: wrenn team switch ${team.id}`);
    output.result(team, () => team.id);
  },
});
