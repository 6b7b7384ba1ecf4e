/** /v1/teams/{team_id}/invitations and /v1/invitations/accept */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import {
  AcceptInvitationRequest,
  CreatedInvitation,
  CreateInvitationRequest,
  Invitation,
  InvitationParams,
  PageQuery,
  Team,
  TeamParams,
} from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { auditAs, auditDetails } from "../audit/record.ts";
import { callerOf, requireRole, sessionOf, unknownTeam } from "../auth/authenticate.ts";
import { normalizeEmail } from "../auth/login.ts";
import { answerPage } from "../http/page.ts";
import type { Services } from "../services.ts";
import type { InvitationRow } from "./invitation-store.ts";

export const invitationRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const { accounts, invitations, members, teams } = services;

  app.post(
    "/teams/:team_id/invitations",
    { schema: { params: TeamParams, body: CreateInvitationRequest, response: { 201: CreatedInvitation } } },
    async (request, reply) => {
      const caller = callerOf(request);
      const { role, email, expires_in_sec: lifetimeSec } = request.body;
      requireRole(caller.role, role);
      const { row, token } = await invitations.create({
        teamId: caller.teamId,
        role,
        email: email === undefined ? null : normalizeEmail(email),
        createdBy: caller.userId,
        lifetimeSec,
      });
      auditDetails(request, { role, ...(email === undefined ? {} : { email }) });
      return reply
        .code(201)
        .header("location", `/v1/teams/${caller.teamId}/invitations/${row.id}`)
        .send({ ...viewOf(row), token, path: `/invite#${token}` });
    },
  );

  app.get(
    "/teams/:team_id/invitations",
    { schema: { params: TeamParams, querystring: PageQuery, response: { 200: Type.Array(Invitation) } } },
    async (request, reply) =>
      await answerPage(reply, request.query, (page) => invitations.page(callerOf(request).teamId, page), viewOf),
  );

  app.delete("/teams/:team_id/invitations/:id", { schema: { params: InvitationParams } }, async (request, reply) => {
    const { id } = request.params;
    if (!(await invitations.delete(callerOf(request).teamId, id))) {
      throw new WrennError("not_found", `Cannot find invitation ${id}`, {
        hint: `GET /v1/teams/${callerOf(request).teamId}/invitations lists those that are open`,
      });
    }
    return reply.code(204).send();
  });

  app.post(
    "/invitations/accept",
    { schema: { body: AcceptInvitationRequest, response: { 200: Team } } },
    async (request): Promise<Team> => {
      const { userId, email } = sessionOf(request);
      const { teamId } = await accounts.join({ userId, email }, request.body.token);
      auditAs(request, { teamId, actor: callerOf(request).actor });
      const [team, role] = [await teams.find(teamId), await members.roleOf(teamId, userId)];
      if (team === undefined || role === undefined) throw unknownTeam(teamId);
      return { ...team, role };
    },
  );
};

function viewOf({ email, created_by, ...row }: InvitationRow): Invitation {
  return {
    ...row,
    ...(email === null ? {} : { email }),
    ...(created_by === null ? {} : { created_by }),
  };
}
