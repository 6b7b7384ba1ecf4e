/** /v1/teams: the teams of the caller. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import { Type } from "typebox";
import { CreateTeamRequest, PageQuery, RenameTeamRequest, Team, TeamParams } from "@wrenn/api-schema";
import { auditAs, auditDetails } from "../audit/record.ts";
import { callerOf, sessionOf, unknownTeam } from "../auth/authenticate.ts";
import type { Caller } from "../auth/caller.ts";
import { answerPage } from "../http/page.ts";
import type { Services } from "../services.ts";

export const teamRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (
  app,
  { services: { keyCache, teams } },
) => {
  app.post("/teams", { schema: { body: CreateTeamRequest, response: { 201: Team } } }, async (request, reply) => {
    const team = await teams.create(sessionOf(request).userId, request.body.name);
    auditAs(request, { teamId: team.id, actor: callerOf(request).actor });
    return reply.code(201).header("location", `/v1/teams/${team.id}`).send(team);
  });

  app.get(
    "/teams",
    { schema: { querystring: PageQuery, response: { 200: Type.Array(Team) } } },
    async (request, reply): Promise<Team[]> => {
      const caller = callerOf(request);
      if (caller.userId === null) return [await teamOf(caller)];
      return await answerPage(reply, request.query, (page) => teams.page(caller.userId ?? "", page), viewOf);
    },
  );

  app.get(
    "/teams/:team_id",
    { schema: { params: TeamParams, response: { 200: Team } } },
    async (request) => await teamOf(callerOf(request)),
  );

  app.patch(
    "/teams/:team_id",
    { schema: { params: TeamParams, body: RenameTeamRequest, response: { 200: Team } } },
    async (request) => {
      const caller = callerOf(request);
      await teams.rename(caller.teamId, request.body.name);
      auditDetails(request, { name: request.body.name });
      return await teamOf(caller);
    },
  );

  app.delete("/teams/:team_id", { schema: { params: TeamParams } }, async (request, reply) => {
    await teams.delete(callerOf(request).teamId);
    keyCache.forget();
    return reply.code(204).send();
  });

  async function teamOf({ teamId, role }: Caller): Promise<Team> {
    const team = await teams.find(teamId);
    if (team === undefined) throw unknownTeam(teamId);
    return { ...team, role };
  }
};

function viewOf({ id, name, role, created_at }: Team): Team {
  return { id, name, role, created_at };
}
