/** /v1/teams/{team_id}/members */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { ChangeRoleRequest, Member, MemberParams, PageQuery, TeamParams } from "@wrenn/api-schema";
import { auditDetails } from "../audit/record.ts";
import { callerOf, requireRole } from "../auth/authenticate.ts";
import { answerPage } from "../http/page.ts";
import type { Services } from "../services.ts";
import type { MemberRow } from "./member-store.ts";

export const memberRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const { members } = services;

  app.get(
    "/teams/:team_id/members",
    { schema: { params: TeamParams, querystring: PageQuery, response: { 200: Type.Array(Member) } } },
    async (request, reply) =>
      await answerPage(reply, request.query, (page) => members.page(callerOf(request).teamId, page), viewOf),
  );

  app.patch(
    "/teams/:team_id/members/:user_id",
    { schema: { params: MemberParams, body: ChangeRoleRequest, response: { 200: Member } } },
    async (request) => {
      const caller = callerOf(request);
      const { role } = request.body;
      // nobody changes or gives a role above their own
      const changed = await members.changeRole(caller.teamId, request.params.user_id, role, (current) => {
        requireRole(caller.role, current);
        requireRole(caller.role, role);
      });
      auditDetails(request, { role });
      return viewOf(changed);
    },
  );

  app.delete("/teams/:team_id/members/:user_id", { schema: { params: MemberParams } }, async (request, reply) => {
    const caller = callerOf(request);
    const { user_id: userId } = request.params;
    await members.remove(caller.teamId, userId, (current) => {
      if (userId === caller.userId) return; // everybody may leave
      requireRole(caller.role, "admin");
      requireRole(caller.role, current);
    });
    return reply.code(204).send();
  });
};

function viewOf({ id, email, role, created_at }: MemberRow): Member {
  return { user_id: id, email, role, joined_at: created_at };
}
