/** Who a request is from, and whether it may: the hook before every route below /v1. */
import type { FastifyInstance, FastifyRequest } from "fastify";
import { API_KEY_HEADER, AUTHORIZATION_HEADER, type Role } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { MemberStore } from "../teams/member-store.ts";
import type { TeamStore } from "../teams/team-store.ts";
import { ticketOf, type TicketStore } from "../tickets/ticket-store.ts";
import type { Access } from "./access.ts";
import type { AccountStore } from "./account-store.ts";
import type { ApiKeyCache } from "./api-key-cache.ts";
import { hashApiKey } from "./api-key.ts";
import { isAtLeast, roleOfKey, scopesOfKey, SESSION_SCOPES, type Caller } from "./caller.ts";
import type { KeyUse } from "./key-use.ts";
import type { SessionClaims, SessionTokens } from "./session-token.ts";

declare module "fastify" {
  interface FastifyRequest {
    caller: Caller | null;
    /** Null for an API key. */
    session: SessionClaims | null;
  }
}

/** What a client shows of itself; one of them. */
export interface Credentials {
  apiKey?: string | undefined;
  /** The token of a session. */
  token?: string | undefined;
  /** Got for a WebSocket, where headers cannot be set. */
  ticket?: string | undefined;
}

export class Authenticator {
  readonly #keys: ApiKeyCache;
  readonly #keyUse: KeyUse;
  readonly #accounts: AccountStore;
  readonly #tokens: SessionTokens;
  readonly #members: MemberStore;
  readonly #teams: TeamStore;
  readonly #tickets: TicketStore<Caller>;

  constructor(options: {
    keys: ApiKeyCache;
    keyUse: KeyUse;
    accounts: AccountStore;
    tokens: SessionTokens;
    members: MemberStore;
    teams: TeamStore;
    tickets: TicketStore<Caller>;
  }) {
    this.#keys = options.keys;
    this.#keyUse = options.keyUse;
    this.#accounts = options.accounts;
    this.#tokens = options.tokens;
    this.#members = options.members;
    this.#teams = options.teams;
    this.#tickets = options.tickets;
  }

  /** @throws WrennError `unauthorized` */
  async identify({ apiKey, token, ticket }: Credentials): Promise<{ caller: Caller; session: SessionClaims | null }> {
    if (apiKey !== undefined) return { caller: await this.#ofKey(apiKey), session: null };
    if (token !== undefined) return await this.#ofSession(token);
    if (ticket !== undefined) return { caller: await this.#ofTicket(ticket), session: null };
    throw unauthorized("Cannot tell who asks: the header X-API-Key is missing");
  }

  /**
   * The same caller in another team, as a path names it.
   * @throws WrennError `not_found` for a team that the caller does not belong to
   */
  async inTeam(caller: Caller, teamId: string): Promise<Caller> {
    if (caller.teamId === teamId) return caller;
    if (caller.userId !== null) {
      const role = await this.#members.roleOf(teamId, caller.userId);
      if (role !== undefined) return { ...caller, teamId, role };
    } else if (caller.scopes.includes("platform:write") && (await this.#teams.find(teamId)) !== undefined) {
      return { ...caller, teamId };
    }
    throw unknownTeam(teamId);
  }

  async #ofKey(apiKey: string): Promise<Caller> {
    const hash = hashApiKey(apiKey);
    const found = hash === undefined ? undefined : await this.#keys.find(hash);
    if (found === undefined) throw unauthorized("Cannot accept the API key: it is unknown, expired or deleted");
    this.#keyUse.record(found.id);
    const scopes = scopesOfKey(found.scopes);
    return {
      teamId: found.team_id,
      role: roleOfKey(scopes),
      scopes,
      actor: { type: "api_key", id: found.id, name: found.name },
      apiKeyId: found.id,
      userId: null,
    };
  }

  async #ofTicket(ticket: string): Promise<Caller> {
    const caller = await this.#tickets.redeem(ticket);
    if (caller === undefined) throw unauthorized("Cannot accept the ticket: it is unknown, used or expired");
    if (caller.userId === null) return caller;
    const role = await this.#members.roleOf(caller.teamId, caller.userId); // as it is by now
    if (role === undefined) throw unauthorized("Cannot accept the ticket: its owner left the team");
    return { ...caller, role };
  }

  async #ofSession(token: string): Promise<{ caller: Caller; session: SessionClaims }> {
    const session = await this.#tokens.verify(token);
    const role = session === undefined ? undefined : await this.#accounts.roleOfSession(session);
    if (session === undefined || role === undefined) {
      throw new WrennError("unauthorized", "Cannot accept the session: it has ended", { hint: "Log in again" });
    }
    const { teamId, userId, email } = session;
    return {
      caller: {
        teamId,
        role,
        scopes: SESSION_SCOPES,
        actor: { type: "user", id: userId, name: email },
        apiKeyId: null,
        userId,
      },
      session,
    };
  }
}

/** Refuses requests that may not, before their body is read or a connection is upgraded. */
export function authenticateRequests(app: FastifyInstance, authenticator: Authenticator): void {
  app.decorateRequest("caller", null);
  app.decorateRequest("session", null);
  app.addHook("onRequest", async (request) => {
    const access = request.routeOptions.config.access ?? {};
    if (access.by === "anyone") return;
    const { caller, session } = await authenticator.identify(credentialsOf(request));
    const { team_id: teamId } = request.params as { team_id?: string };
    request.caller = teamId === undefined ? caller : await authenticator.inTeam(caller, teamId);
    request.session = session;
    checkAccess(request.caller, access);
  });
}

/** The caller of a request that passed the hook. */
export function callerOf(request: FastifyRequest): Caller {
  if (request.caller === null) throw new TypeError("Cannot tell who asks: this route does not ask for credentials");
  return request.caller;
}

/** The person of a request on a route that only people may call. */
export function sessionOf(request: FastifyRequest): SessionClaims {
  if (request.session === null) throw new TypeError("Cannot tell who asks: this route takes API keys");
  return request.session;
}

/** The answer to a team that does not exist, or that is not the caller's. */
export function unknownTeam(teamId: string): WrennError {
  return new WrennError("not_found", `Cannot find team ${teamId}`, { hint: "GET /v1/teams lists yours" });
}

function credentialsOf({ headers }: FastifyRequest): Credentials {
  const apiKey = headers[API_KEY_HEADER];
  const token = /^Bearer +(\S+)$/i.exec(headers[AUTHORIZATION_HEADER] ?? "")?.[1];
  const ticket = ticketOf(headers["sec-websocket-protocol"]);
  return { apiKey: typeof apiKey === "string" ? apiKey : undefined, token, ticket };
}

/** @throws WrennError `forbidden` */
function checkAccess({ userId, role, scopes }: Caller, access: Access): void {
  if (access.by === "person" && userId === null) {
    throw new WrennError("forbidden", "Cannot do that with an API key: it is for people who logged in", {
      hint: "Log in with POST /v1/auth/login",
    });
  }
  if (access.scope !== undefined && !scopes.includes(access.scope)) {
    throw new WrennError("forbidden", `Cannot do that: it needs the scope ${access.scope}`, {
      hint:
        access.scope === "platform:write" ? "The key of the first start has it" : "Use a key that has it, or log in",
    });
  }
  if (access.role !== undefined) requireRole(role, access.role);
}

/** @throws WrennError `forbidden` for a role below `least` */
export function requireRole(role: Role, least: Role): void {
  if (isAtLeast(role, least)) return;
  throw new WrennError("forbidden", `Cannot do that as ${role} of the team: it needs the role ${least}`, {
    hint: "Ask an owner of the team",
  });
}

function unauthorized(message: string): WrennError {
  return new WrennError("unauthorized", message, {
    hint: 'Set WRENN_API_KEY to a key of this platform (eval "$(./wrenn env)"), or log in',
  });
}
