import { NEXT_CURSOR_HEADER } from "@wrenn/api-schema";
import type { Operations } from "../openapi/operation.ts";

const AT = "2026-11-01T12:00:00.000000Z";
const TEAM = { id: "team_3k9x0c2m4q8w1z7y5v6u", name: "Default", role: "owner", created_at: AT };
const BIRDS = { id: "team_0brd0brd0brd0brd0brd", name: "Birds", role: "owner", created_at: AT };
const ADA = { user_id: "usr_0ada0ada0ada0ada0ada", email: "ada@example.org", role: "member", joined_at: AT };
const INVITATION = {
  id: "inv_3k9x0c2m4q8w1z7y5v6u",
  team_id: TEAM.id,
  role: "member",
  created_at: AT,
  expires_at: "2026-11-08T12:00:00.000000Z",
};
const TOKEN = "4mVb0Qk2vY9sZrT1xW8pLcDe5fGhJkMn";
const PAGE = { [NEXT_CURSOR_HEADER]: "Cursor of the next page, while more follows." };

export const teamOperations: Operations = {
  "POST /v1/teams": {
    id: "createTeam",
    tag: "Teams",
    summary: "Make a team",
    description: "The user who makes it owns it.",
    errors: ["quota_exceeded"],
    request: { body: { name: "Birds" } },
    answers: { 201: { description: "The team.", headers: { location: "Path of the team." }, example: BIRDS } },
  },
  "GET /v1/teams": {
    id: "listTeams",
    tag: "Teams",
    summary: "List your teams",
    description: "Those of the user, newest first; for a key, its own one.",
    errors: ["not_found"],
    request: { query: { limit: 10 } },
    answers: { 200: { description: "A page of teams.", headers: PAGE, example: [TEAM] } },
  },
  "GET /v1/teams/:team_id": {
    id: "getTeam",
    tag: "Teams",
    summary: "Describe a team",
    request: { params: { team_id: TEAM.id } },
    answers: { 200: { description: "The team, and the caller's role in it.", example: TEAM } },
  },
  "PATCH /v1/teams/:team_id": {
    id: "renameTeam",
    tag: "Teams",
    summary: "Rename a team",
    request: { params: { team_id: TEAM.id }, body: { name: "Wrens" } },
    answers: { 200: { description: "The team.", example: { ...TEAM, name: "Wrens" } } },
  },
  "DELETE /v1/teams/:team_id": {
    id: "deleteTeam",
    tag: "Teams",
    summary: "Delete a team",
    description:
      "Its members, invitations and keys go with it. Sandboxes, snapshots and templates are destroyed first.",
    errors: ["conflict"],
    request: { params: { team_id: BIRDS.id } },
    answers: { 204: { description: "It is deleted." } },
  },
  "POST /v1/teams/:team_id/invitations": {
    id: "inviteMember",
    tag: "Teams",
    summary: "Invite somebody to a team",
    description:
      "The token lets one person join, once, until the invitation ends; with an address, only the user of that address. It is only in this answer. Nobody gives a role above their own.",
    errors: ["quota_exceeded"],
    request: { params: { team_id: TEAM.id }, body: { role: "member" } },
    answers: {
      201: {
        description: "The invitation.",
        headers: { location: "Path of the invitation." },
        example: { ...INVITATION, token: TOKEN, path: `/invite#${TOKEN}` },
      },
    },
  },
  "POST /v1/invitations/accept": {
    id: "acceptInvitation",
    tag: "Teams",
    summary: "Join a team",
    description: "Uses an invitation up. Switch to the team to work in it.",
    errors: ["not_found", "conflict"],
    request: { body: { token: TOKEN } },
    answers: { 200: { description: "The team.", example: { ...TEAM, role: "member" } } },
  },
  "GET /v1/teams/:team_id/invitations": {
    id: "listInvitations",
    tag: "Teams",
    summary: "List open invitations",
    request: { params: { team_id: TEAM.id }, query: { limit: 10 } },
    answers: { 200: { description: "A page of invitations.", headers: PAGE, example: [INVITATION] } },
  },
  "DELETE /v1/teams/:team_id/invitations/:id": {
    id: "deleteInvitation",
    tag: "Teams",
    summary: "Withdraw an invitation",
    request: { params: { team_id: TEAM.id, id: INVITATION.id } },
    answers: { 204: { description: "It cannot be accepted any more." } },
  },
  "GET /v1/teams/:team_id/members": {
    id: "listMembers",
    tag: "Teams",
    summary: "List the members of a team",
    request: { params: { team_id: TEAM.id }, query: { limit: 10 } },
    answers: { 200: { description: "A page of members.", headers: PAGE, example: [ADA] } },
  },
  "PATCH /v1/teams/:team_id/members/:user_id": {
    id: "changeRole",
    tag: "Teams",
    summary: "Change the role of a member",
    description: "Takes effect with the member's next request. Nobody changes or gives a role above their own.",
    errors: ["conflict"],
    request: { params: { team_id: TEAM.id, user_id: ADA.user_id }, body: { role: "admin" } },
    answers: { 200: { description: "The member.", example: { ...ADA, role: "admin" } } },
  },
  "DELETE /v1/teams/:team_id/members/:user_id": {
    id: "removeMember",
    tag: "Teams",
    summary: "Remove a member, or leave",
    description:
      "Ends the member's sessions for this team at once, and withdraws the member's open invitations. Everybody may leave, the last owner excepted; to remove others takes the role `admin`.",
    errors: ["conflict"],
    request: { params: { team_id: TEAM.id, user_id: ADA.user_id } },
    answers: { 204: { description: "The user is no member any more." } },
  },
};
