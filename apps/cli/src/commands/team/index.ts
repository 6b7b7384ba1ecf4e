import type { CommandGroup } from "../../define-command.ts";
import { auditCommand } from "./audit.ts";
import { inviteCommand, joinCommand } from "./invitations.ts";
import { membersCommand, removeMemberCommand, roleCommand } from "./members.ts";
import { quotaCommand } from "./quota.ts";
import { createTeamCommand, listTeamsCommand, renameTeamCommand, rmTeamCommand, switchTeamCommand } from "./teams.ts";

export const teamGroup: CommandGroup = {
  name: "team",
  summary: "Teams, their members and quotas",
  examples: [
    ["wrenn team invite ada@example.org", "let somebody in"],
    ["wrenn team members", "who is in it"],
    ["wrenn team quota", "what it uses, and may use"],
  ],
  commands: [
    listTeamsCommand,
    createTeamCommand,
    switchTeamCommand,
    renameTeamCommand,
    rmTeamCommand,
    membersCommand,
    inviteCommand,
    joinCommand,
    roleCommand,
    removeMemberCommand,
    quotaCommand,
    auditCommand,
  ],
};
