/** Accounts, sessions, teams and keys, as clients see them, on a real database. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { CreatedApiKey, CreatedInvitation, Session } from "@wrenn/api-schema";
import { TestServer } from "../database/test-database.ts";
import { bearer, PASSWORD, request, signUp, type Headers } from "../test-account.ts";
import { startTestApp, type TestApp } from "../test-app.ts";

let server: TestServer;
let test: TestApp;
let count = 0;

beforeAll(async () => {
  server = await TestServer.start();
  test = await startTestApp(await server.newDatabase());
});
afterAll(async () => {
  await test.stop();
  await server.stop();
});

const newEmail = () => `person-${++count}@example.org`;
const person = async () => await signUp(test.app, newEmail());
const call = async (
  who: Session | { key: string } | undefined,
  method: "GET" | "POST" | "PATCH" | "PUT" | "DELETE",
  path: string,
  body?: unknown,
) => await request(test.app, method, `/v1${path}`, headersOf(who), body);

function headersOf(who: Session | { key: string } | undefined): Headers {
  if (who === undefined) return {};
  return "key" in who ? { "x-api-key": who.key } : bearer(who);
}

/** A person who joined the team of `owner`. */
async function member(owner: Session, role: string): Promise<Session> {
  const invitation = await call(owner, "POST", `/teams/${owner.team_id}/invitations`, { role });
  expect(invitation.status).toBe(201);
  const { token } = invitation.body as CreatedInvitation;
  const joined = await person();
  expect(await call(joined, "POST", "/invitations/accept", { token })).toMatchObject({ status: 200, body: { role } });
  const switched = await call(joined, "POST", "/auth/switch-team", { team_id: owner.team_id });
  expect(switched.status).toBe(200);
  return switched.body as Session;
}

async function newKey(who: Session, body: object = {}): Promise<CreatedApiKey> {
  const answer = await call(who, "POST", "/api-keys", body);
  expect(answer.status).toBe(201);
  return answer.body as CreatedApiKey;
}

describe("sign-up", () => {
  it("makes a user and a default team that the user owns", async () => {
    const email = newEmail();
    const session = await signUp(test.app, ` ${email.toUpperCase()} `);
    expect(session).toMatchObject({ email, user_id: expect.stringMatching(/^usr_/) });
    expect(Date.parse(session.expires_at) - Date.now()).toBeGreaterThan(5.9 * 3_600_000);
    expect((await call(session, "GET", "/auth/me")).body).toMatchObject({
      user: { id: session.user_id, email },
      team: { id: session.team_id, name: `${email}'s team` },
      role: "owner",
    });
    expect((await call(session, "GET", "/sandboxes")).body).toEqual([]);
  });

  it("leaves nothing behind when the address is taken, and two at once make one account", async () => {
    const email = newEmail();
    const answers = await Promise.all(
      [1, 2].map(() => call(undefined, "POST", "/auth/signup", { email, password: PASSWORD })),
    );
    expect(answers.map(({ status }) => status).sort((a, b) => a - b)).toEqual([201, 409]);
    expect(answers.find(({ status }) => status === 409)?.body.error).toMatchObject({
      code: "already_exists",
      hint: "Log in instead",
    });
    const teams = await test.services.database
      .selectFrom("teams")
      .select("id")
      .where("name", "=", `${email}'s team`)
      .execute();
    expect(teams).toHaveLength(1);
  });

  it.each([
    [{ email: "nobody", password: PASSWORD }, "email"],
    [{ email: "a@b@c", password: PASSWORD }, "email"],
    [{ email: `${"x".repeat(320)}@example.org`, password: PASSWORD }, "email"],
    [{ email: "a@b\u0000c", password: PASSWORD }, "email"],
    [{ email: "short@example.org", password: "1234567" }, "password"],
    [{ email: "long@example.org", password: "x".repeat(1_025) }, "password"],
    [{ email: "extra@example.org", password: PASSWORD, admin: true }, "admin"],
    [{}, "email"],
  ])("refuses %j", async (body, part) => {
    expect(await call(undefined, "POST", "/auth/signup", body)).toMatchObject({
      status: 400,
      body: { error: { code: "invalid_request", message: expect.stringContaining(part) } },
    });
  });
});

describe("login", () => {
  it("takes the right password only, and says the same about wrong ones and unknown addresses", async () => {
    const session = await person();
    const logIn = async (email: string, password: string) =>
      await call(undefined, "POST", "/auth/login", { email, password });
    expect(await logIn(session.email.toUpperCase(), PASSWORD)).toMatchObject({
      status: 200,
      body: { user_id: session.user_id, team_id: session.team_id },
    });
    const wrong = await logIn(session.email, "wrong password");
    const unknown = await logIn(newEmail(), PASSWORD);
    expect([wrong.status, unknown.status]).toEqual([401, 401]);
    expect({ ...wrong.body.error, request_id: "" }).toEqual({ ...unknown.body.error, request_id: "" });
    expect((await logIn("owner@localhost", "")).status).toBe(401);
  });

  it("refuses to guess on, for one account from many addresses, also one that does not exist", async () => {
    for (const email of [(await person()).email, newEmail()]) {
      const guess = async (n: number) =>
        (
          await test.app.inject({
            method: "POST",
            url: "/v1/auth/login",
            remoteAddress: `198.51.100.${n}`,
            payload: { email, password: "a guess" },
          })
        ).statusCode;
      const statuses: number[] = [];
      for (let n = 1; n <= 12; n++) statuses.push(await guess(n));
      expect(statuses).toEqual([...Array<number>(10).fill(401), 429, 429]);
    }
  });

  it("makes a team for somebody who is in none any more", async () => {
    const session = await person();
    expect((await call(session, "DELETE", `/teams/${session.team_id}`)).status).toBe(204);
    expect((await call(session, "GET", "/auth/me")).status).toBe(401);
    const again = await call(undefined, "POST", "/auth/login", { email: session.email, password: PASSWORD });
    expect(again.status).toBe(200);
    expect(again.body.team_id).not.toBe(session.team_id);
    expect((await call(again.body, "GET", "/teams")).body).toHaveLength(1);
  });
});

describe("a session", () => {
  it("ends at once when the password changes, elsewhere too", async () => {
    const session = await person();
    const elsewhere = (await call(undefined, "POST", "/auth/login", { email: session.email, password: PASSWORD })).body;
    const wrong = { current_password: "not this one", new_password: "another password" };
    expect((await call(session, "POST", "/auth/password", wrong)).status).toBe(401);
    expect((await call(elsewhere, "GET", "/auth/me")).status).toBe(200);
    const changed = await call(session, "POST", "/auth/password", { ...wrong, current_password: PASSWORD });
    expect(changed.status).toBe(200);
    for (const old of [session, elsewhere]) expect((await call(old, "GET", "/auth/me")).status).toBe(401);
    expect((await call(changed.body, "GET", "/auth/me")).status).toBe(200);
    expect((await call(undefined, "POST", "/auth/login", { email: session.email, password: PASSWORD })).status).toBe(
      401,
    );
  });

  it("ends alone when it is logged out", async () => {
    const session = await person();
    const other = (await call(undefined, "POST", "/auth/login", { email: session.email, password: PASSWORD })).body;
    expect((await call(session, "DELETE", "/auth/session")).status).toBe(204);
    expect((await call(session, "GET", "/sandboxes")).status).toBe(401);
    expect((await call(other, "GET", "/sandboxes")).status).toBe(200);
  });

  it("ends at once when its user is removed from the team, and its role changes at once", async () => {
    const owner = await person();
    const admin = await member(owner, "admin");
    const members = `/teams/${owner.team_id}/members`;
    expect((await call(admin, "POST", "/api-keys", {})).status).toBe(201);
    expect((await call(owner, "PATCH", `${members}/${admin.user_id}`, { role: "member" })).status).toBe(200);
    expect((await call(admin, "POST", "/api-keys", {})).status).toBe(403);
    expect((await call(owner, "DELETE", `${members}/${admin.user_id}`)).status).toBe(204);
    for (const path of ["/sandboxes", "/auth/me", "/teams", members]) {
      expect([path, (await call(admin, "GET", path)).status]).toEqual([path, 401]);
    }
  });

  it("is refused when it was changed, signed by others, unsigned, or meant for others", async () => {
    const session = await person();
    const [header = "", payload = "", signature = ""] = session.token.split(".");
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = JSON.parse(Buffer.from(payload, "base64url").toString()) as object;
    const kid = (JSON.parse(Buffer.from(header, "base64url").toString()) as { kid: string }).kid;
    const forged = [
      "",
      "x",
      `${header}.${payload}.`,
      `${header}.${encode({ ...claims, team_id: test.teamId })}.${signature}`,
      `${encode({ alg: "none", kid })}.${payload}.`,
      `${encode({ alg: "HS256", kid: "00000000" })}.${payload}.${signature}`,
      `${encode({ alg: "RS256", kid })}.${payload}.${signature}`,
    ];
    for (const token of forged) {
      expect(await call({ ...session, token }, "GET", "/auth/me")).toMatchObject({ status: 401 });
    }
  });
});

describe("teams", () => {
  it("can be made, renamed, listed and deleted; what was its is gone for its members", async () => {
    const owner = await person();
    const made = await call(owner, "POST", "/teams", { name: "Birds" });
    expect(made).toMatchObject({ status: 201, body: { name: "Birds", role: "owner" } });
    const path = `/teams/${made.body.id}`;
    expect((await call(owner, "PATCH", path, { name: "Wrens" })).body).toMatchObject({ name: "Wrens" });
    expect((await call(owner, "GET", "/teams")).body.map(({ name }: { name: string }) => name)).toEqual([
      "Wrens",
      `${owner.email}'s team`,
    ]);
    const inTeam = (await call(owner, "POST", "/auth/switch-team", { team_id: made.body.id })).body as Session;
    const { key } = await newKey(inTeam);
    expect((await call({ key }, "GET", "/sandboxes")).status).toBe(200);
    expect((await call(owner, "DELETE", path)).status).toBe(204);
    expect((await call({ key }, "GET", "/sandboxes")).status).toBe(401);
    expect((await call(inTeam, "GET", "/sandboxes")).status).toBe(401);
    expect((await call(owner, "GET", path)).status).toBe(404);
  });

  it("keep an owner, also when two leave at once", async () => {
    const first = await person();
    const second = await member(first, "owner");
    const leave = async ({ user_id }: Session, as: Session) =>
      await call(as, "DELETE", `/teams/${first.team_id}/members/${user_id}`);
    const left = await Promise.all([leave(first, first), leave(second, second)]);
    expect(left.map(({ status }) => status).sort((a, b) => a - b)).toEqual([204, 409]);
    const stays = left[0]?.status === 409 ? first : second;
    expect((await leave(stays, stays)).body.error.code).toBe("conflict");
    const demote = `/teams/${first.team_id}/members/${stays.user_id}`;
    expect((await call(stays, "PATCH", demote, { role: "admin" })).body.error.code).toBe("conflict");
  });

  it("let nobody change, remove or give a role above their own", async () => {
    const owner = await person();
    const admin = await member(owner, "admin");
    const team = `/teams/${owner.team_id}`;
    const refused = async (method: "PATCH" | "DELETE" | "POST", path: string, body?: unknown) =>
      expect(await call(admin, method, `${team}${path}`, body)).toMatchObject({
        status: 403,
        body: { error: { code: "forbidden" } },
      });
    await refused("PATCH", `/members/${owner.user_id}`, { role: "member" });
    await refused("PATCH", `/members/${admin.user_id}`, { role: "owner" });
    await refused("DELETE", `/members/${owner.user_id}`);
    await refused("POST", "/invitations", { role: "owner" });
  });
});

describe("an invitation", () => {
  it("is used once, in its time, by whom it is for", async () => {
    const owner = await person();
    const path = `/teams/${owner.team_id}/invitations`;
    const invite = async (body: object) => (await call(owner, "POST", path, body)).body as CreatedInvitation;
    const [first, second] = [await person(), await person()];
    const accept = async (who: Session, token: string) =>
      (await call(who, "POST", "/invitations/accept", { token })).status;

    const open = await invite({});
    expect(await Promise.all([accept(first, open.token), accept(second, open.token)])).toEqual(
      expect.arrayContaining([200, 404]),
    );
    expect(await accept(owner, (await invite({})).token)).toBe(409);

    const named = await invite({ email: " Somebody@Example.org", role: "admin" });
    expect(named.email).toBe("somebody@example.org");
    expect(await accept(second, named.token)).toBe(404);
    const signedUp = await call(undefined, "POST", "/auth/signup", {
      email: "somebody@example.org",
      password: PASSWORD,
      invitation: named.token,
    });
    expect(signedUp).toMatchObject({ status: 201, body: { team_id: owner.team_id } });
    expect((await call(signedUp.body, "GET", "/auth/me")).body.role).toBe("admin");

    const late = await invite({ expires_in_sec: 60 });
    await test.services.database
      .updateTable("team_invitations")
      .set({ expires_at: new Date(Date.now() - 1_000).toISOString() })
      .where("id", "=", late.id)
      .execute();
    expect(await accept(await person(), late.token)).toBe(404);
    const withdrawn = await invite({});
    expect((await call(owner, "DELETE", `${path}/${withdrawn.id}`)).status).toBe(204);
    expect(await accept(await person(), withdrawn.token)).toBe(404);
  });

  it("has a link to a page that tells how to use it", async () => {
    const owner = await person();
    const { path, token } = (await call(owner, "POST", `/teams/${owner.team_id}/invitations`, {})).body;
    expect(path).toBe(`/invite#${token}`);
    const page = await test.app.inject({ method: "GET", url: "/invite" });
    expect([page.statusCode, page.headers["content-type"]]).toEqual([200, "text/html; charset=utf-8"]);
    expect((await test.app.inject({ method: "GET", url: "/invite/token.js" })).statusCode).toBe(200);
  });

  it("leaves no account behind when a sign-up names one that does not work", async () => {
    const email = newEmail();
    const body = { email, password: PASSWORD, invitation: "nonsense" };
    expect((await call(undefined, "POST", "/auth/signup", body)).status).toBe(404);
    expect(await test.services.accounts.findByEmail(email)).toBeUndefined();
  });
});

describe("API keys", () => {
  it("are shown once, work at once with either prefix, and end at once", async () => {
    const owner = await person();
    const made = await newKey(owner, { name: "CI" });
    expect(made).toMatchObject({
      name: "CI",
      creator_email: owner.email,
      key: expect.stringMatching(/^wrn_[0-9a-f]{32}$/),
    });
    for (const key of [made.key, made.key.replace("wrn_", "e2b_")]) {
      expect((await call({ key }, "GET", "/auth/me")).body).toMatchObject({
        api_key: { id: made.id, name: "CI" },
        team: { id: owner.team_id },
        role: "member",
      });
    }
    const list = await call(owner, "GET", "/api-keys");
    expect(list.body).toMatchObject([{ id: made.id, key_prefix: made.key.slice(0, 10) }]);
    expect(JSON.stringify(list.body)).not.toContain(made.key);
    expect((await call(owner, "DELETE", `/api-keys/${made.id}`)).status).toBe(204);
    expect((await call(owner, "DELETE", `/api-keys/${made.id}`)).status).toBe(404);
    expect((await call(made, "GET", "/auth/me")).status).toBe(401);
  });

  it("do what their scopes allow, and nobody gives more than they have", async () => {
    const owner = await person();
    const reader = await newKey(owner, { scopes: ["sandboxes:read"] });
    expect((await call(reader, "GET", "/sandboxes")).status).toBe(200);
    expect((await call(reader, "POST", "/sandboxes", {})).body.error).toMatchObject({
      code: "forbidden",
      message: "Cannot do that: it needs the scope sandboxes:write",
    });
    const admin = await newKey(owner, { scopes: ["sandboxes:read", "team:write"], expires_in_sec: 60 });
    expect((await call(admin, "POST", "/api-keys", { scopes: ["sandboxes:read"] })).status).toBe(201);
    for (const scopes of [undefined, ["sandboxes:write"], ["platform:write"]]) {
      expect((await call(admin, "POST", "/api-keys", { scopes })).status).toBe(403);
    }
    expect((await call(owner, "POST", "/api-keys", { scopes: ["platform:write"] })).status).toBe(403);
    expect((await call(owner, "POST", "/api-keys", { scopes: ["everything"] })).status).toBe(400);
    expect((await call(admin, "DELETE", `/teams/${owner.team_id}`)).status).toBe(403);
  });
});

describe("the audit log", () => {
  it("tells who did what, page by page, and outlives its actors", async () => {
    const owner = await person();
    const made = await newKey(owner);
    await call({ key: made.key }, "GET", "/sandboxes");
    await call(owner, "PATCH", `/teams/${owner.team_id}`, { name: "Audited" });
    await call(owner, "DELETE", `/api-keys/${made.id}`);
    const path = `/teams/${owner.team_id}/audit-log`;
    const entries: { action: string; actor: object; target_id: string; request_id: string }[] = [];
    let cursor = "";
    do {
      const { body, headers } = await call(owner, "GET", `${path}?limit=2${cursor}`);
      entries.push(...body);
      const next = headers["x-next-cursor"];
      cursor = typeof next === "string" ? `&cursor=${next}` : "";
    } while (cursor !== "");
    expect(entries).toMatchObject([
      { action: "api_key.delete", target_id: made.id },
      { action: "team.rename", target_id: owner.team_id, details: { name: "Audited" } },
      { action: "api_key.create", target_id: made.id },
      { action: "user.sign_up" },
    ]);
    for (const { actor, request_id } of entries) {
      expect(actor).toEqual({ type: "user", id: owner.user_id, name: owner.email });
      expect(request_id).toMatch(/^req_/);
    }
    const member_ = await member(owner, "member");
    expect((await call(member_, "GET", path)).status).toBe(403);
  });
});
