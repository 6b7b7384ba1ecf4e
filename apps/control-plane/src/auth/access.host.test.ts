/**
 * Every route, for everybody, with the things of a team: who may not see them gets the answer of a thing
 * that does not exist. The routes are those that Fastify has; one that is new fails until it is listed in
 * access.ts, and the things that its path names in `THINGS`. Prints the matrix.
 */
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fastify } from "fastify";
import { DEFAULT_SCOPES, SCOPES, type Role, type Scope } from "@wrenn/api-schema";
import { newId } from "../database/ids.ts";
import { TestServer } from "../database/test-database.ts";
import { newSandboxRow } from "../database/test-rows.ts";
import type { Operation } from "../openapi/operation.ts";
import { OPERATIONS } from "../openapi/operations.ts";
import { bearer, type Headers } from "../test-account.ts";
import { startTestApp, type TestApp } from "../test-app.ts";
import { classifyRoutes, type RegisteredRoute } from "./access.ts";
import { isAtLeast, roleOfKey, SESSION_SCOPES } from "./caller.ts";
import { hashPassword } from "./password.ts";

/** What ids in paths are, by the route that they are in; what others call `:id` and `:name`. */
const THINGS: readonly [RegExp, keyof Things][] = [
  [/^\/v1\/sandboxes\/:id/, "sandbox"],
  [/^\/v1\/api-keys\/:id/, "apiKey"],
  [/^\/v1\/teams\/:team_id\/invitations\/:id/, "invitation"],
  [/^\/v1\/(templates|snapshots)\/:name/, "template"],
  [/^\/v1\/webhooks\/:id/, "webhook"],
  [/:user_id/, "user"],
];
/** Routes without credentials outside of /v1; they show nothing that belongs to a team. */
const PUBLIC = /^\/(health|ready|metrics|docs|guide|openapi\.(json|yaml)|test|invite|assets)(\/|$)/;
/** Appears in everything that belongs to the team. */
const MARKER = "alpha";

/** Ids of what the team has. */
interface Things {
  team: string;
  sandbox: string;
  template: string;
  apiKey: string;
  invitation: string;
  webhook: string;
  user: string;
}

interface Caller {
  headers: Headers;
  /** Of the team that the things belong to. */
  own: boolean;
  /** Undefined for who is in no team. */
  role: Role | undefined;
  scopes: readonly Scope[];
  /** Undefined for keys. */
  userId: string | undefined;
}

let server: TestServer;
let test: TestApp;
let passwordHash: string;
let count = 0;
const buildId = newId("bld_");
const PASSWORD = "correct horse battery staple";

beforeAll(async () => {
  server = await TestServer.start();
  test = await startTestApp(await server.newDatabase());
  passwordHash = await hashPassword(PASSWORD);
  const { hosts, templates } = test.services;
  await templates.upsertBuiltin(hosts.current().id, [
    { name: "base", buildId, vcpus: 1, memoryMib: 512, diskMib: 2_048, sizeBytes: 1 },
  ]);
});
afterAll(async () => {
  await test.stop();
  await server.stop();
});

async function newUser(name: string): Promise<{ userId: string; email: string; epoch: number }> {
  const userId = newId("usr_");
  const email = `${name}-${++count}@example.org`;
  await test.services.database.insertInto("users").values({ id: userId, email, password_hash: passwordHash }).execute();
  return { userId, email, epoch: 1 };
}

async function newTeam(name: string): Promise<string> {
  const id = newId("team_");
  await test.services.database.insertInto("teams").values({ id, name }).execute();
  return id;
}

/** Makes somebody who asks about things of the team `own`; `other` is the team that they are not of. */
type MakeCaller = (own: string, other: string) => Promise<Caller>;

async function person(teamId: string, role: Role, own: boolean): Promise<Caller> {
  const account = await newUser("person");
  await test.services.database
    .insertInto("team_members")
    .values({ team_id: teamId, user_id: account.userId, role })
    .execute();
  return {
    headers: bearer(await test.services.login.session(account, teamId)),
    own,
    role,
    scopes: SESSION_SCOPES,
    userId: account.userId,
  };
}

async function key(teamId: string, scopes: readonly Scope[], own: boolean): Promise<Caller> {
  const made = await test.services.keys.create({
    teamId,
    name: "key",
    scopes,
    createdBy: null,
    lifetimeSec: undefined,
  });
  return { headers: { "x-api-key": made.key }, own, role: roleOfKey(scopes), scopes, userId: undefined };
}

async function removed(teamId: string): Promise<Caller> {
  const caller = await person(teamId, "admin", true);
  await test.services.members.remove(teamId, caller.userId ?? "", () => undefined);
  return { ...caller, role: undefined };
}

const TEAM_SCOPES = SCOPES.filter((scope) => scope !== "platform:write");
const NOBODY: Caller = { headers: {}, own: false, role: undefined, scopes: [], userId: undefined };

/** Everybody who may ask, by the names of the matrix's columns. */
const CALLERS: Readonly<Record<string, MakeCaller>> = {
  nobody: async () => NOBODY,
  removed,
  key: async (own) => await key(own, DEFAULT_SCOPES, true),
  reader: async (own) => await key(own, ["sandboxes:read"], true),
  "admin key": async (own) => await key(own, TEAM_SCOPES, true),
  member: async (own) => await person(own, "member", true),
  admin: async (own) => await person(own, "admin", true),
  owner: async (own) => await person(own, "owner", true),
  "other's owner": async (_, other) => await person(other, "owner", false),
  "other's key": async (_, other) => await key(other, TEAM_SCOPES, false),
  operator: async (_, other) => await key(other, SCOPES, false),
};

/** A team with one of everything. */
async function newThings(): Promise<Things> {
  const { database, invitations, keys, sandboxes, hosts } = test.services;
  const team = await newTeam(`${MARKER} team`);
  const user = (await newUser(MARKER)).userId;
  await database.insertInto("team_members").values({ team_id: team, user_id: user, role: "member" }).execute();
  const template = `${MARKER}-${++count}`;
  const [templateId, build] = [newId("tpl_"), newId("bld_")];
  await database.insertInto("templates").values({ id: templateId, team_id: team, name: template }).execute();
  const size = { vcpus: 1, memory_mib: 512, disk_mib: 2_048 };
  await database
    .insertInto("template_builds")
    .values({ id: build, template_id: templateId, kind: "snapshot", state: "ready", ...size })
    .execute();
  await database
    .insertInto("template_tags")
    .values({ template_id: templateId, tag: "default", build_id: build })
    .execute();
  const sandbox = await sandboxes.insert(
    newSandboxRow({
      team_id: team,
      host_id: hosts.current().id,
      template_build_id: build,
      template_name: template,
      metadata: JSON.stringify({ [MARKER]: MARKER }),
      access_token: MARKER,
    }),
  );
  await sandboxes.transition(sandbox.id, { to: "running" });
  const apiKey = await keys.create({ teamId: team, name: MARKER, scopes: [], createdBy: user, lifetimeSec: undefined });
  const invitation = await invitations.create({
    teamId: team,
    role: "member",
    email: `${MARKER}@example.org`,
    createdBy: user,
    lifetimeSec: 60,
  });
  const webhook = newId("hook_");
  await sql`insert into webhooks (id, team_id, url, secret)
    values (${webhook}, ${team}, ${`https://${MARKER}.example.org/`}, ${MARKER})`.execute(database);
  return { team, sandbox: sandbox.id, template, apiKey: apiKey.row.id, invitation: invitation.row.id, webhook, user };
}

/** Of the same shapes; nothing of it exists. */
function nothing(): Things {
  return {
    team: newId("team_"),
    sandbox: newId("sb"),
    template: `none-${++count}`,
    apiKey: newId("key_"),
    invitation: newId("inv_"),
    webhook: newId("hook_"),
    user: newId("usr_"),
  };
}

function thingOf(path: string): keyof Things | undefined {
  if (!/:(?!team_id)\w+/.test(path)) return undefined;
  const found = THINGS.find(([pattern]) => pattern.test(path))?.[1];
  if (found === undefined) throw new Error(`Cannot test ${path}: say in THINGS what its id is`);
  return found;
}

/** The route's own example, about `things`. */
function requestOf({ method, path }: RegisteredRoute, { request = {} }: Operation, things: Things) {
  const thing = thingOf(path);
  const url = path.replace(":team_id", things.team).replace(/:\w+/, thing === undefined ? "" : things[thing]);
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(request.query ?? {})) query.set(name, String(value));
  return {
    method: method as "GET",
    url: query.size === 0 ? url : `${url}?${query.toString()}`,
    headers: {
      ...request.headers,
      ...(request.body === undefined ? {} : { "content-type": request.contentType ?? "application/json" }),
    },
    ...(request.body === undefined ? {} : { payload: bodyOf(path, request.body, things) }),
  };
}

function bodyOf(path: string, body: unknown, things: Things): string {
  if (typeof body === "string") return body;
  const about = {
    ...(path === "/v1/snapshots" ? { sandbox_id: things.sandbox } : {}),
    ...(path === "/v1/sandboxes" ? { template: things.template } : {}),
    ...(path === "/v1/auth/switch-team" ? { team_id: things.team } : {}),
  };
  return JSON.stringify({ ...(body as object), ...about });
}

/** Whether the request names a thing of the team, beside the team itself. */
const namesThing = ({ method, path }: RegisteredRoute) =>
  thingOf(path) !== undefined ||
  ["POST /v1/snapshots", "POST /v1/sandboxes", "POST /v1/auth/switch-team"].includes(`${method} ${path}`);

type Expected = 401 | 403 | 404 | "served";

function expected(route: RegisteredRoute, { own, role, scopes, userId }: Caller): Expected {
  const { by, scope, role: least = "member" } = route.access ?? { by: "anyone" };
  if (by === "anyone") return "served";
  if (role === undefined) return 401;
  const isOperator = scopes.includes("platform:write");
  if (!own && !isOperator && route.path.includes(":team_id")) return 404;
  if (by === "person" && userId === undefined) return 403;
  if (scope !== undefined && !scopes.includes(scope)) return 403;
  if (!isAtLeast(role, least)) return 403;
  if (!own && namesThing(route) && !(isOperator && route.path.includes(":team_id"))) return 404;
  // to leave is for everybody, to remove somebody else is not
  if (route.path.endsWith("/members/:user_id") && !isAtLeast(role, "admin")) return 403;
  // the example's token is nobody's
  return route.path === "/v1/invitations/accept" ? 404 : "served";
}

async function ask(route: RegisteredRoute, operation: Operation, things: Things, caller: Caller) {
  const request = requestOf(route, operation, things);
  const answer = await test.app.inject({
    ...request,
    headers: { ...request.headers, ...caller.headers },
    remoteAddress: `198.19.${++count >> 8}.${count & 255}`,
    payloadAsStream: true,
  });
  const isEndless = String(answer.headers["content-type"]).startsWith("text/event-stream");
  let text = "";
  if (isEndless) answer.stream().destroy();
  else for await (const part of answer.stream()) text += String(part);
  return { status: answer.statusCode, text };
}

/** An answer without what the request itself said. */
function withoutEcho(text: string, things: Things): string {
  return Object.values(things)
    .reduce((left, id) => left.replaceAll(String(id), "ID"), text)
    .replaceAll(/req_\w+/g, "REQ");
}

describe("every route", () => {
  it(
    "answers each caller as access.ts says, and to others like a thing that does not exist",
    { timeout: 300_000 },
    async () => {
      const routes = test.app.routeTable.filter(({ method, access }) => method !== "HEAD" && access !== undefined);
      expect(routes.length).toBeGreaterThan(30);
      const rows = [["".padEnd(50), ...Object.keys(CALLERS)].join(" | ")];
      const problems: string[] = [];
      const other = await newTeam("Other");
      let things = await newThings();
      for (const route of routes) {
        const name = `${route.method} ${route.path}`;
        const operation = OPERATIONS[name];
        if (operation === undefined) throw new Error(`Cannot test ${name}: it has no example`);
        const cells: string[] = [];
        for (const [column, makeCaller] of Object.entries(CALLERS)) {
          const caller = await makeCaller(things.team, other);
          const wanted = expected(route, caller);
          const { status, text } = await ask(route, operation, things, caller);
          const about = things;
          // what was served may have changed everything
          if (wanted === "served" && route.method !== "GET") things = await newThings();
          cells.push(String(status).padEnd(column.length));
          const fits =
            wanted === "served"
              ? ![401, 403, 404].includes(status) || route.access?.by === "anyone"
              : status === wanted;
          if (!fits) problems.push(`${name} as ${column}: ${status} instead of ${wanted}: ${text}`);
          if (caller.own || column === "operator" || route.access?.by === "anyone") continue;
          const told = withoutEcho(text, about);
          if (told.includes(MARKER)) problems.push(`${name} tells ${column}: ${text}`);
          if (status !== 404) continue;
          const none = nothing();
          const absent = await ask(route, operation, none, caller);
          if (withoutEcho(absent.text, none) !== told)
            problems.push(`${name} tells ${column} apart: ${text} ${absent.text}`);
        }
        rows.push([name.padEnd(50), ...cells].join(" | "));
      }
      process.stdout.write(`${rows.join("\n")}\n`);
      expect(problems).toEqual([]);
    },
  );

  it("outside of /v1 is known to be for everybody", () => {
    const others = test.app.routeTable.filter(({ access }) => access === undefined).map(({ path }) => path);
    expect(others.filter((path) => !PUBLIC.test(path))).toEqual([]);
  });

  it("below /v1 cannot be registered before it is known who may call it", () => {
    const app = fastify();
    classifyRoutes(app);
    expect(() => app.get("/v1/things", async () => "")).toThrow("Cannot register GET /v1/things: say who may call it");
  });
});
