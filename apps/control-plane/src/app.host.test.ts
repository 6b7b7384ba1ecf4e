/** Routes as far as they go without a host agent; tests/control-plane has the rest, on real VMs. */
import { once } from "node:events";
import { connect, type AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import type { InjectOptions } from "fastify";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { WebSocket } from "ws";
import { newId } from "./database/ids.ts";
import type { SandboxRow } from "./database/tables.ts";
import { TestServer } from "./database/test-database.ts";
import { newSandboxRow } from "./database/test-rows.ts";
import { startTestApp, type TestApp } from "./test-app.ts";

let server: TestServer;
let test: TestApp;
let port: number;
const buildId = newId("bld_");

beforeAll(async () => {
  server = await TestServer.start();
  test = await startTestApp(await server.newDatabase());
  const { services } = test;
  await services.templates.upsertBuiltin(services.hosts.current().id, [
    { name: "base", buildId, vcpus: 1, memoryMib: 512, diskMib: 2_048, sizeBytes: 5_000_000_000 },
    { name: "minimal", buildId: newId("bld_"), vcpus: 1, memoryMib: 256, diskMib: 1_024, sizeBytes: 1 },
  ]);
  await test.app.listen({ port: 0, host: "127.0.0.1" });
  port = (test.app.server.address() as AddressInfo).port;
});
afterAll(async () => {
  await test.stop();
  await server.stop();
});

async function call(
  method: InjectOptions["method"],
  url: string,
  payload?: unknown,
  headers: Record<string, string> = {},
) {
  const answer = await test.app.inject({
    method: method as "GET",
    url,
    headers: {
      "x-api-key": test.apiKey,
      ...(payload === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(payload === undefined ? {} : { payload: typeof payload === "string" ? payload : JSON.stringify(payload) }),
  });
  return {
    status: answer.statusCode,
    headers: answer.headers,
    body: answer.body === "" ? undefined : answer.json<any>(),
  };
}

async function insert(state: "running" | "paused" = "running"): Promise<SandboxRow> {
  const { sandboxes, hosts } = test.services;
  const row = await sandboxes.insert(
    newSandboxRow({
      team_id: test.teamId,
      host_id: hosts.current().id,
      template_build_id: buildId,
      metadata: JSON.stringify({ a: "b" }),
    }),
  );
  return (await sandboxes.transition(row.id, { to: state })) as SandboxRow;
}

describe("every route", () => {
  it("is closed without a key, and tells nothing about what exists", async () => {
    const { id } = await insert();
    const routes: [InjectOptions["method"], string][] = [
      ["GET", "/v1/sandboxes"],
      ["POST", "/v1/sandboxes"],
      ["GET", `/v1/sandboxes/${id}`],
      ["DELETE", `/v1/sandboxes/${id}`],
      ["POST", `/v1/sandboxes/${id}/pause`],
      ["POST", `/v1/sandboxes/${id}/resume`],
      ["POST", `/v1/sandboxes/${id}/ping`],
      ["POST", `/v1/sandboxes/${id}/timeout`],
      ["POST", `/v1/sandboxes/${id}/exec`],
      ["GET", `/v1/sandboxes/${id}/exec/stream`],
      ["GET", `/v1/sandboxes/${id}/files?path=/etc/passwd`],
      ["PUT", `/v1/sandboxes/${id}/files?path=/x`],
      ["GET", "/v1/templates"],
    ];
    for (const [method, url] of routes) {
      for (const key of [undefined, "", "wrn_", `wrn_${"0".repeat(32)}`, "x".repeat(5_000)]) {
        const answer = await test.app.inject({
          method: method as "GET",
          url,
          headers: key === undefined ? {} : { "x-api-key": key },
        });
        expect([method, url, answer.statusCode, answer.json().error.code]).toEqual([method, url, 401, "unauthorized"]);
      }
    }
  });

  it("takes the same key with the prefix e2b_", async () => {
    expect(
      (await call("GET", "/v1/sandboxes", undefined, { "x-api-key": test.apiKey.replace("wrn_", "e2b_") })).status,
    ).toBe(200);
  });

  it("sends the caller's request id back, or one of its own", async () => {
    const given = await call("GET", "/v1/nope", undefined, { "x-request-id": "abc-1.2:3" });
    expect(given.headers["x-request-id"]).toBe("abc-1.2:3");
    expect(given.body.error.request_id).toBe("abc-1.2:3");
    for (const bad of ["a b", "x".repeat(129), "ü"]) {
      const answer = await call("GET", "/v1/templates", undefined, { "x-request-id": bad });
      expect(answer.headers["x-request-id"]).toMatch(/^req_[0-9a-z]{20}$/);
    }
  });

  it("answers what no route takes, and what is no JSON, in one shape", async () => {
    expect(await call("GET", "/nope")).toMatchObject({
      status: 404,
      body: { error: { code: "not_found", message: "Cannot GET /nope: there is no such route" } },
    });
    expect(await call("PATCH", "/v1/sandboxes", {})).toMatchObject({
      status: 404,
      body: { error: { code: "not_found" } },
    });
    expect(await call("POST", "/v1/sandboxes", "{")).toMatchObject({
      status: 400,
      body: { error: { code: "invalid_request" } },
    });
    expect(await call("POST", "/v1/sandboxes", '{"__proto__":{"a":1}}')).toMatchObject({
      status: 400,
      body: { error: { code: "invalid_request" } },
    });
    expect(
      await call("POST", "/v1/sandboxes", "a=b", { "content-type": "application/x-www-form-urlencoded" }),
    ).toMatchObject({
      status: 400,
      body: { error: { code: "invalid_request", hint: expect.stringContaining("JSON") } },
    });
    expect(await call("POST", "/v1/sandboxes", { metadata: { a: "x".repeat(2_000_000) } })).toMatchObject({
      status: 413,
      body: { error: { code: "too_large" } },
    });
    expect(await call("GET", "/v1/%zz")).toMatchObject({ status: 400, body: { error: { code: "invalid_request" } } });
  });

  it("answers what is not even HTTP in the same shape", async () => {
    const socket = connect(port, "127.0.0.1");
    socket.end("GARBAGE\r\n\r\n");
    const answer = await text(socket);
    expect(answer).toMatch(/^HTTP\/1\.1 400 /);
    expect(JSON.parse(answer.slice(answer.indexOf("\r\n\r\n")))).toMatchObject({
      error: { code: "invalid_request", request_id: expect.stringMatching(/^req_/) },
    });
  });
});

describe("POST /v1/sandboxes", () => {
  it.each([
    [{ vcpus: 9 }, 400, "invalid_request", "vcpus"],
    [{ vcpus: 0 }, 400, "invalid_request", "vcpus"],
    [{ vcpus: 1.5 }, 400, "invalid_request", "vcpus"],
    [{ memory_mb: 1 }, 400, "invalid_request", "memory_mb"],
    [{ memory_mb: "512" }, 400, "invalid_request", "memory_mb"],
    [{ disk_mb: 1_000 }, 400, "invalid_request", "the template base has 2048 MiB"],
    [{ timeout_sec: -1 }, 400, "invalid_request", "timeout_sec"],
    [{ memory: 512 }, 400, "invalid_request", "there is no such field"],
    [{ envs: { "A B": "1" } }, 400, "invalid_request", "A B"],
    [{ template: "../etc" }, 400, "invalid_request", "template"],
    [{ template: "nosuch" }, 404, "not_found", "nosuch"],
  ])("refuses %j before any work", async (body, status, code, part) => {
    const before = await test.services.sandboxes.page(test.teamId, {
      limit: 100,
      states: ["creating", "failed", "gone"],
    });
    const answer = await call("POST", "/v1/sandboxes", body);
    expect(answer).toMatchObject({
      status,
      body: { error: { code, message: expect.stringContaining(part), hint: expect.any(String) } },
    });
    expect(
      await test.services.sandboxes.page(test.teamId, { limit: 100, states: ["creating", "failed", "gone"] }),
    ).toEqual(before);
  });

  it("lists the templates there are when it does not know one", async () => {
    expect((await call("POST", "/v1/sandboxes", { template: "nosuch" })).body.error.hint).toBe(
      "Use one of: base, minimal",
    );
  });

  it("says that the host agent does not answer, and keeps the reason", async () => {
    const answer = await call("POST", "/v1/sandboxes", {});
    expect(answer).toMatchObject({
      status: 502,
      body: { error: { code: "agent_unavailable", hint: expect.stringContaining("wrenn") } },
    });
    const [failed] = await test.services.sandboxes.page(test.teamId, { limit: 1, states: ["failed"] });
    expect(failed?.reason).toBe(answer.body.error.message);
  });
});

describe("GET /v1/sandboxes", () => {
  it("pages through everything once and shows no secret", async () => {
    const rows = [await insert(), await insert(), await insert("paused")];
    const seen: string[] = [];
    let cursor = "";
    do {
      const { status, headers, body } = await call("GET", `/v1/sandboxes?limit=2${cursor}`);
      expect(status).toBe(200);
      expect(JSON.stringify(body)).not.toMatch(/guest-secret|"\w*(host|address|_ip)\w*":/);
      seen.push(...body.map((sandbox: { id: string }) => sandbox.id));
      const next = headers["x-next-cursor"];
      cursor = next === undefined ? "" : `&cursor=${String(next)}`;
    } while (cursor !== "");
    expect(new Set(seen).size).toBe(seen.length);
    for (const { id } of rows) expect(seen).toContain(id);
    const paused = await call("GET", "/v1/sandboxes?status=paused");
    expect(paused.body).toMatchObject([{ id: rows[2]?.id, status: "paused", metadata: { a: "b" } }]);
    expect(paused.headers["x-next-cursor"]).toBeUndefined();
  });

  it.each(["limit=0", "limit=101", "limit=x", "cursor=nope", "status=dead", "nope=1"])("refuses ?%s", async (query) => {
    expect(await call("GET", `/v1/sandboxes?${query}`)).toMatchObject({
      status: 400,
      body: { error: { code: "invalid_request" } },
    });
  });
});

describe("routes of one sandbox", () => {
  it("answer not_found for ids that are unknown, malformed, or of another team", async () => {
    const { id } = await insert();
    const { key, hash, prefix } = (await import("./auth/api-key.ts")).mintApiKey();
    const other = newId("team_");
    await test.services.database.insertInto("teams").values({ id: other, name: "Other" }).execute();
    await test.services.database
      .insertInto("api_keys")
      .values({ id: newId("key_"), team_id: other, name: "Key", key_hash: hash, key_prefix: prefix, created_by: null })
      .execute();
    const asked: [string, Record<string, string>][] = [
      [newId("sb"), {}],
      ["x", {}],
      ["..%2f..", {}],
      [id, { "x-api-key": key }],
    ];
    const routes: [InjectOptions["method"], string, unknown?][] = [
      ["GET", ""],
      ["DELETE", ""],
      ["POST", "/pause"],
      ["POST", "/resume"],
      ["POST", "/ping"],
      ["POST", "/timeout", { timeout_sec: 1 }],
      ["POST", "/exec", { cmd: "true" }],
      ["GET", "/exec/stream"],
      ["GET", "/files?path=/x"],
      ["PUT", "/files?path=/x", "data"],
    ];
    for (const [asId, headers] of asked) {
      for (const [method, path, payload] of routes) {
        const answer = await call(method, `/v1/sandboxes/${asId}${path}`, payload, headers);
        expect([asId, method, path, answer.status, answer.body.error.code]).toEqual([
          asId,
          method,
          path,
          404,
          "not_found",
        ]);
      }
    }
    expect((await call("GET", `/v1/sandboxes/${id}`)).body).toMatchObject({ id, status: "running" });
  });

  it("say what a state does not allow, before anybody is asked", async () => {
    const { id } = await insert("paused");
    const refused = (what: string, hint: string) => ({
      status: 409,
      body: { error: { code: "invalid_state", message: `Cannot ${what} sandbox ${id}: it is paused`, hint } },
    });
    expect(await call("POST", `/v1/sandboxes/${id}/pause`)).toMatchObject(refused("pause", "It is paused already"));
    expect(await call("POST", `/v1/sandboxes/${id}/exec`, { cmd: "true" })).toMatchObject(
      refused("run a command in", "Resume it first"),
    );
    expect(await call("GET", `/v1/sandboxes/${id}/files?path=/x`)).toMatchObject(
      refused("read a file of", "Resume it first"),
    );
    expect(await call("PUT", `/v1/sandboxes/${id}/files?path=/x`, "data")).toMatchObject(
      refused("write a file of", "Resume it first"),
    );
    expect(await call("POST", `/v1/sandboxes/${id}/ping`)).toMatchObject(refused("ping", "Resume it first"));
  });

  it.each([
    [{}, "needs cmd"],
    [{ cmd: "" }, "cmd"],
    [{ cmd: "a\u0000b" }, "cmd"],
    [{ cmd: "ls", args: "x" }, "args"],
    [{ cmd: "ls", command: "ls" }, "there is no such field"],
    [{ cmd: "ls", stdin: "%%%", stdin_encoding: "base64" }, "not base64"],
    [{ cmd: "ls", timeout_sec: 1e9 }, "timeout_sec"],
    [{ cmd: "ls", user: "a:b" }, "user"],
  ])("exec refuses %j", async (body, part) => {
    const { id } = await insert();
    expect(await call("POST", `/v1/sandboxes/${id}/exec`, body)).toMatchObject({
      status: 400,
      body: { error: { code: "invalid_request", message: expect.stringContaining(part) } },
    });
  });

  it("keep a destroy that the host did not hear as destroying", async () => {
    const { id } = await insert();
    expect(await call("DELETE", `/v1/sandboxes/${id}`)).toMatchObject({
      status: 502,
      body: { error: { code: "agent_unavailable" } },
    });
    expect((await call("GET", `/v1/sandboxes/${id}`)).body).toMatchObject({ status: "destroying" });
  });
});

describe("GET /v1/sandboxes/{id}/exec/stream", () => {
  async function refusal(
    path: string,
    headers: Record<string, string>,
  ): Promise<{ status: number | undefined; code: string }> {
    const socket = new WebSocket(`ws://127.0.0.1:${port}${path}`, { headers });
    socket.on("error", () => undefined);
    const [, response] = (await once(socket, "unexpected-response")) as [unknown, import("node:http").IncomingMessage];
    return {
      status: response.statusCode,
      code: (JSON.parse(await text(response)) as { error: { code: string } }).error.code,
    };
  }

  it("refuses before the upgrade: no key, no sandbox, one that does not run", async () => {
    const paused = await insert("paused");
    const key = { "x-api-key": test.apiKey };
    expect(await refusal(`/v1/sandboxes/${paused.id}/exec/stream`, {})).toEqual({ status: 401, code: "unauthorized" });
    expect(await refusal(`/v1/sandboxes/${newId("sb")}/exec/stream`, key)).toEqual({ status: 404, code: "not_found" });
    expect(await refusal(`/v1/sandboxes/${paused.id}/exec/stream`, key)).toEqual({
      status: 409,
      code: "invalid_state",
    });
  });

  it("tells a plain request to use a WebSocket", async () => {
    const { id } = await insert();
    expect(await call("GET", `/v1/sandboxes/${id}/exec/stream`)).toMatchObject({
      status: 400,
      body: { error: { message: expect.stringContaining("WebSocket") } },
    });
  });

  it.each([
    ["not JSON", "garbage", "not JSON"],
    ["no command", '{"type":"start"}', "needs cmd"],
    ["another first frame", '{"type":"stdin","data":""}', "start frame"],
    ["bytes", Buffer.from([1, 2, 3]), "binary"],
  ])("answers a bad first frame with one error frame: %s", async (_, frame, part) => {
    const { id } = await insert();
    const socket = new WebSocket(`ws://127.0.0.1:${port}/v1/sandboxes/${id}/exec/stream`, {
      headers: { "x-api-key": test.apiKey },
    });
    const frames: unknown[] = [];
    socket.on("open", () => socket.send(frame));
    socket.on("message", (data: Buffer) => frames.push(JSON.parse(data.toString())));
    const [code, reason] = (await once(socket, "close")) as [number, Buffer];
    expect([code, reason.toString()]).toEqual([1_011, "invalid_request"]);
    expect(frames).toMatchObject([
      {
        type: "error",
        data: expect.stringContaining(part),
        error: { code: "invalid_request", request_id: expect.any(String) },
      },
    ]);
  });
});

describe("GET /v1/templates", () => {
  it("lists the built-in ones and the team's own, which hides a built-in one of the same name", async () => {
    const { body } = await call("GET", "/v1/templates");
    expect(body).toContainEqual(
      expect.objectContaining({
        name: "base",
        type: "base",
        build_id: buildId,
        vcpus: 1,
        memory_mb: 512,
        disk_mb: 2_048,
        size_bytes: 5_000_000_000,
      }),
    );
    const first = await call("GET", "/v1/templates?limit=1");
    const second = await call("GET", `/v1/templates?limit=1&cursor=${String(first.headers["x-next-cursor"])}`);
    expect([...first.body, ...second.body].map((template: { name: string }) => template.name).sort()).toEqual([
      "base",
      "minimal",
    ]);
    const { templates, database } = test.services;
    const templateId = newId("tpl_");
    const own = newId("bld_");
    await database.insertInto("templates").values({ id: templateId, team_id: test.teamId, name: "base" }).execute();
    await database
      .insertInto("template_builds")
      .values({
        id: own,
        template_id: templateId,
        kind: "recipe",
        state: "ready",
        vcpus: 2,
        memory_mib: 1_024,
        disk_mib: 2_048,
      })
      .execute();
    await database
      .insertInto("template_tags")
      .values({ template_id: templateId, tag: "default", build_id: own })
      .execute();
    expect(await templates.resolve(test.teamId, "BASE")).toMatchObject({ build_id: own });
    expect(await templates.resolve(newId("team_"), "base")).toMatchObject({ build_id: buildId });
    await database.deleteFrom("template_tags").where("template_id", "=", templateId).execute();
    await database.deleteFrom("template_builds").where("id", "=", own).execute();
    await database.deleteFrom("templates").where("id", "=", templateId).execute();
  });

  it("moves the name to a newer build of a built-in template, and keeps the older one", async () => {
    const { templates, hosts } = test.services;
    const newer = { name: "minimal", buildId: newId("bld_"), vcpus: 1, memoryMib: 256, diskMib: 1_024, sizeBytes: 1 };
    const before = await templates.resolve(test.teamId, "minimal");
    await templates.upsertBuiltin(hosts.current().id, [newer]);
    await templates.upsertBuiltin(hosts.current().id, [newer]);
    expect(await templates.resolve(test.teamId, "minimal")).toMatchObject({ id: before?.id, build_id: newer.buildId });
  });
});

describe("GET /health and /ready", () => {
  it("are open; ready names what does not answer", async () => {
    const alive = await test.app.inject({ method: "GET", url: "/health" });
    expect([alive.statusCode, alive.json()]).toEqual([200, { status: "ok", version: "1.2.3" }]);
    const answer = await test.app.inject({ method: "GET", url: "/ready" });
    expect(answer.statusCode).toBe(503);
    expect(answer.json()).toMatchObject({
      error: { code: "unavailable", message: expect.stringMatching(/^Cannot serve: host agent: /) },
    });
    expect(answer.headers["retry-after"]).toBe("2");
  });
});
