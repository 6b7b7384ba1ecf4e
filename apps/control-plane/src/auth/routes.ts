/** /v1/auth: accounts and sessions. */
import type { FastifyPluginAsyncTypebox } from "@fastify/type-provider-typebox";
import {
  ChangePasswordRequest,
  Identity,
  LogInRequest,
  Session,
  SignUpRequest,
  SwitchTeamRequest,
} from "@wrenn/api-schema";
import { auditAs } from "../audit/record.ts";
import type { Services } from "../services.ts";
import { callerOf, sessionOf, unknownTeam } from "./authenticate.ts";

export const authRoutes: FastifyPluginAsyncTypebox<{ services: Services }> = async (app, { services }) => {
  const { accounts, login, members, teams } = services;

  app.post("/auth/signup", { schema: { body: SignUpRequest, response: { 201: Session } } }, async (request, reply) => {
    const session = await login.signUp(request.body, request.ip);
    auditAs(request, ownerOf(session));
    return reply.code(201).send(session);
  });

  app.post("/auth/login", { schema: { body: LogInRequest, response: { 200: Session } } }, async (request) => {
    const session = await login.logIn(request.body, request.ip);
    auditAs(request, ownerOf(session));
    return session;
  });

  app.delete("/auth/session", async (request, reply) => {
    const { sessionId, expiresAtSec } = sessionOf(request);
    await accounts.revoke(sessionId, expiresAtSec);
    return reply.code(204).send();
  });

  app.post(
    "/auth/password",
    { schema: { body: ChangePasswordRequest, response: { 200: Session } } },
    async (request) => {
      const { userId, teamId } = sessionOf(request);
      const { current_password: current, new_password: next } = request.body;
      return await login.changePassword(userId, { current, next, teamId }, request.ip);
    },
  );

  app.post(
    "/auth/switch-team",
    { schema: { body: SwitchTeamRequest, response: { 200: Session } } },
    async (request) => {
      const session = sessionOf(request);
      const { team_id: teamId } = request.body;
      if ((await members.roleOf(teamId, session.userId)) === undefined) throw unknownTeam(teamId);
      return await login.session(session, teamId);
    },
  );

  app.get("/auth/me", { schema: { response: { 200: Identity } } }, async (request): Promise<Identity> => {
    const { teamId, role, scopes, actor } = callerOf(request);
    const team = await teams.find(teamId);
    if (team === undefined) throw unknownTeam(teamId);
    return {
      ...(actor.type === "user"
        ? { user: { id: actor.id, email: actor.name } }
        : { api_key: { id: actor.id, name: actor.name } }),
      team: { id: team.id, name: team.name },
      role,
      scopes: [...scopes],
    };
  });
};

/** Who logged in, as the audit log keeps it. */
function ownerOf({ team_id: teamId, user_id: id, email: name }: Session): Parameters<typeof auditAs>[1] {
  return { teamId, actor: { type: "user", id, name } };
}
