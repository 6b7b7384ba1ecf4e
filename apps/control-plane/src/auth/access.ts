/**
 * Who may call which route: the one list of it. A route below /v1 that is not in it cannot be
 * registered, and access.host.test.ts walks over all of them with every role and foreign ids.
 */
import type { FastifyInstance } from "fastify";
import type { Role, Scope } from "@wrenn/api-schema";

export interface Access {
  /** `anyone`: without credentials; `person`: a session, no key. A session or a key unless told. */
  by?: "anyone" | "person";
  scope?: Scope;
  /** The least role; member unless told. */
  role?: Role;
  /** The action that a success is in the audit log as. */
  audit?: string;
}

/** By method and path. */
export const ACCESS: Readonly<Record<string, Access>> = {
  "POST /v1/auth/signup": { by: "anyone", audit: "user.sign_up" },
  "POST /v1/auth/login": { by: "anyone", audit: "user.log_in" },
  "DELETE /v1/auth/session": { by: "person", audit: "user.log_out" },
  "POST /v1/auth/password": { by: "person", audit: "user.change_password" },
  "POST /v1/auth/switch-team": { by: "person" },
  "GET /v1/auth/me": {},

  "POST /v1/teams": { by: "person", audit: "team.create" },
  "GET /v1/teams": {},
  "GET /v1/teams/:team_id": {},
  "PATCH /v1/teams/:team_id": { scope: "team:write", role: "admin", audit: "team.rename" },
  "DELETE /v1/teams/:team_id": { by: "person", scope: "team:write", role: "owner", audit: "team.delete" },
  "GET /v1/teams/:team_id/usage": { scope: "team:read" },
  "PUT /v1/teams/:team_id/quotas": { scope: "platform:write", audit: "team.set_quotas" },
  "GET /v1/teams/:team_id/members": { scope: "team:read" },
  "PATCH /v1/teams/:team_id/members/:user_id": { scope: "team:write", role: "admin", audit: "member.change_role" },
  // everybody may leave; the handler asks for more to remove others
  "DELETE /v1/teams/:team_id/members/:user_id": { scope: "team:write", audit: "member.remove" },
  "POST /v1/teams/:team_id/invitations": { scope: "team:write", role: "admin", audit: "invitation.create" },
  "GET /v1/teams/:team_id/invitations": { scope: "team:read", role: "admin" },
  "DELETE /v1/teams/:team_id/invitations/:id": { scope: "team:write", role: "admin", audit: "invitation.delete" },
  "POST /v1/invitations/accept": { by: "person", audit: "invitation.accept" },
  "GET /v1/teams/:team_id/audit-log": { scope: "team:read", role: "admin" },

  "POST /v1/api-keys": { scope: "team:write", role: "admin", audit: "api_key.create" },
  "GET /v1/api-keys": { scope: "team:read" },
  "DELETE /v1/api-keys/:id": { scope: "team:write", role: "admin", audit: "api_key.delete" },

  "POST /v1/sandboxes": { scope: "sandboxes:write", audit: "sandbox.create" },
  "GET /v1/sandboxes": { scope: "sandboxes:read" },
  "GET /v1/sandboxes/:id": { scope: "sandboxes:read" },
  "DELETE /v1/sandboxes/:id": { scope: "sandboxes:write", audit: "sandbox.destroy" },
  "POST /v1/sandboxes/:id/pause": { scope: "sandboxes:write", audit: "sandbox.pause" },
  "POST /v1/sandboxes/:id/resume": { scope: "sandboxes:write", audit: "sandbox.resume" },
  "POST /v1/sandboxes/:id/ping": { scope: "sandboxes:write" },
  "POST /v1/sandboxes/:id/timeout": { scope: "sandboxes:write", audit: "sandbox.set_timeout" },
  "POST /v1/sandboxes/:id/exec": { scope: "sandboxes:write" },
  "GET /v1/sandboxes/:id/exec/stream": { scope: "sandboxes:write" },
  "GET /v1/sandboxes/:id/files": { scope: "sandboxes:read" },
  "PUT /v1/sandboxes/:id/files": { scope: "sandboxes:write" },

  "POST /v1/sandboxes/:id/fork": { scope: "sandboxes:write", audit: "sandbox.fork" },

  "GET /v1/templates": { scope: "templates:read" },
  "GET /v1/templates/:name": { scope: "templates:read" },
  "DELETE /v1/templates/:name": { scope: "templates:write", audit: "template.delete" },
  "POST /v1/snapshots": { scope: "templates:write", audit: "snapshot.create" },
  "GET /v1/snapshots": { scope: "templates:read" },
  "DELETE /v1/snapshots/:name": { scope: "templates:write", audit: "snapshot.delete" },
  "POST /v1/snapshots/:name/verify": { scope: "templates:read" },

  "GET /v1/sandboxes/:id/metrics": { scope: "sandboxes:read" },
  "GET /v1/sandboxes/:id/logs": { scope: "sandboxes:read" },
  "GET /v1/sandboxes/:id/operations": { scope: "sandboxes:read" },
  "GET /v1/sandboxes/:id/processes": { scope: "sandboxes:read" },
  "POST /v1/sandboxes/:id/files/read": { scope: "sandboxes:read" },
  "POST /v1/sandboxes/:id/files/stream/read": { scope: "sandboxes:read" },
  "POST /v1/sandboxes/:id/files/write": { scope: "sandboxes:write" },
  "POST /v1/sandboxes/:id/files/stream/write": { scope: "sandboxes:write" },
  "GET /v1/sandboxes/:id/files/stat": { scope: "sandboxes:read" },
  "GET /v1/sandboxes/:id/files/list": { scope: "sandboxes:read" },
  "GET /v1/sandboxes/:id/files/watch": { scope: "sandboxes:read" },
  "POST /v1/sandboxes/:id/files/mkdir": { scope: "sandboxes:write" },
  "POST /v1/sandboxes/:id/files/move": { scope: "sandboxes:write" },
  "DELETE /v1/sandboxes/:id/files": { scope: "sandboxes:write" },
  "GET /v1/sandboxes/:id/files/tar": { scope: "sandboxes:read" },
  "PUT /v1/sandboxes/:id/files/tar": { scope: "sandboxes:write" },

  "GET /v1/events": { scope: "sandboxes:read" },
  "GET /v1/events/stream": { scope: "sandboxes:read" },
  "POST /v1/webhooks": { scope: "team:write", role: "admin", audit: "webhook.create" },
  "GET /v1/webhooks": { scope: "team:read" },
  "GET /v1/webhooks/:id": { scope: "team:read" },
  "PATCH /v1/webhooks/:id": { scope: "team:write", role: "admin", audit: "webhook.change" },
  "DELETE /v1/webhooks/:id": { scope: "team:write", role: "admin", audit: "webhook.delete" },
  "GET /v1/webhooks/:id/deliveries": { scope: "team:read" },
  "POST /v1/tickets": {},
};

declare module "fastify" {
  interface FastifyContextConfig {
    access?: Access;
  }
}

declare module "fastify" {
  interface FastifyInstance {
    /** Every route that is registered. */
    routeTable: RegisteredRoute[];
  }
}

export interface RegisteredRoute {
  method: string;
  /** As Fastify knows it: `/v1/sandboxes/:id`. */
  path: string;
  /** Undefined outside of /v1. */
  access: Access | undefined;
}

/** To be called before any route is registered: gives each below /v1 its access. */
export function classifyRoutes(app: FastifyInstance): void {
  app.decorate("routeTable", []);
  app.addHook("onRoute", (route) => {
    for (const method of [route.method].flat()) {
      // Fastify answers HEAD where there is GET
      const name = `${method === "HEAD" ? "GET" : method} ${route.url}`;
      const access = ACCESS[name];
      if (access === undefined && route.url.startsWith("/v1/")) {
        throw new TypeError(`Cannot register ${name}: say who may call it, in auth/access.ts`);
      }
      app.routeTable.push({ method, path: route.url, access });
      if (access !== undefined) route.config = { ...route.config, access };
    }
  });
}
