/** What Prometheus and the Grafana board get, who may see it, and what never gets into a log. */
import { readFileSync } from "node:fs";
import { pino } from "pino";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { TestServer } from "../database/test-database.ts";
import { startTestAppWithHost } from "../test-app.ts";

const BOARD = new URL("../../../../deploy/grafana/control-plane.json", import.meta.url);
const REFERENCE = new URL("../../../../docs/reference/operations.md", import.meta.url);

let server: TestServer;
let test: Awaited<ReturnType<typeof startTestAppWithHost>>;
const logged: string[] = [];

beforeAll(async () => {
  server = await TestServer.start();
  const log = pino({ level: "debug" }, { write: (line: string) => logged.push(line) });
  test = await startTestAppWithHost(await server.newDatabase(), {
    log,
    settings: { WRENN_RATE_LIMIT_PER_MINUTE: "60", WRENN_METRICS_TOKEN: "scrape-secret" },
  });
});
afterAll(async () => {
  await test.stop();
  await server.stop();
});

async function call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}) {
  const answer = await fetch(test.url + path, {
    method,
    headers: {
      "x-api-key": test.apiKey,
      ...(body === undefined ? {} : { "content-type": "application/json" }),
      ...headers,
    },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return { status: answer.status, headers: answer.headers, text: await answer.text() };
}
const metrics = async () => (await call("GET", "/metrics", undefined, { authorization: "Bearer scrape-secret" })).text;

describe("GET /metrics", () => {
  it("needs the token, where there is one", async () => {
    expect((await call("GET", "/metrics")).status).toBe(401);
    expect((await call("GET", "/metrics", undefined, { authorization: "Bearer wrong" })).status).toBe(401);
    expect(await metrics()).toContain("wrenn_control_plane_sandboxes");
  });

  it("without a token is for this machine, and not through a proxy", async () => {
    const open = await startTestAppWithHost(await server.newDatabase());
    try {
      expect((await fetch(`${open.url}/metrics`)).status).toBe(200);
      const proxied = await fetch(`${open.url}/metrics`, { headers: { "x-forwarded-for": "192.0.2.1" } });
      expect(proxied.status).toBe(403);
    } finally {
      await open.stop();
    }
  });

  it("counts requests and operations, and shows the sandboxes that there are", async () => {
    const { id } = JSON.parse((await call("POST", "/v1/sandboxes", {})).text);
    await call("POST", `/v1/sandboxes/${id}/pause`);
    await call("POST", `/v1/sandboxes/${id}/pause`);
    const text = await metrics();
    expect(text).toContain('wrenn_control_plane_sandboxes{state="paused"} 1');
    expect(text).toContain('wrenn_control_plane_hosts{state="online"} 1');
    expect(text).toContain('operation_duration_seconds_count{operation="create",outcome="success"} 1');
    expect(text).toContain('operation_duration_seconds_count{operation="pause",outcome="invalid_state"} 1');
    expect(text).toContain(
      'http_request_duration_seconds_count{method="POST",route="/v1/sandboxes/:id/pause",status="409"} 1',
    );
    expect(text).not.toContain(id); // series do not grow with what there is
  });

  it("has every series of the Grafana board and of the reference", async () => {
    const known = new Set([...(await metrics()).matchAll(/^# TYPE (\S+) (\S+)/gm)].map(([, name]) => name));
    const seriesOf = (text: string) =>
      new Set(
        [...text.matchAll(/wrenn_control_plane_[a-z0-9_]+/g)].map(([name]) => name.replace(/_(bucket|count|sum)$/, "")),
      );
    const board = seriesOf(readFileSync(BOARD, "utf8"));
    expect(board.size).toBeGreaterThan(10);
    expect([...board].filter((name) => !known.has(name))).toEqual([]);
    const reference = seriesOf(readFileSync(REFERENCE, "utf8"));
    const own = [...known].filter((name) => !/_(process|nodejs)_/.test(String(name)));
    expect(own.filter((name) => !reference.has(String(name)))).toEqual([]);
  });
});

describe("answers", () => {
  it("carry headers that keep browsers from making more of them", async () => {
    const { headers } = await call("GET", "/health");
    expect(headers.get("x-content-type-options")).toBe("nosniff");
    expect(headers.get("x-frame-options")).toBe("DENY");
    expect(headers.get("content-security-policy")).toContain("default-src 'none'");
  });

  it("are refusals for a caller that makes too many requests, and only for that one", async () => {
    const statuses: number[] = [];
    for (let n = 0; n < 100; n++) statuses.push((await call("GET", "/v1/templates")).status);
    const refused = await call("GET", "/v1/templates");
    expect(statuses.filter((status) => status === 429).length).toBeGreaterThan(20);
    expect([refused.status, JSON.parse(refused.text).error.code]).toEqual([429, "rate_limited"]);
    const again = Number(refused.headers.get("retry-after"));
    expect([again >= 1, again <= 60]).toEqual([true, true]);
    expect((await call("GET", "/health")).status).toBe(200);
    expect(await metrics()).toMatch(/rate_limited_requests_total [1-9]/);
  });
});

describe("the log", () => {
  it("has every request with its id, and no secret of any kind", async () => {
    const fresh = await startTestAppWithHost(await server.newDatabase(), {
      log: pino({ level: "debug" }, { write: (line: string) => logged.push(line) }),
    });
    try {
      const send = async (method: string, path: string, body?: object, headers: Record<string, string> = {}) => {
        const answer = await fetch(`${fresh.url}/v1/${path}`, {
          method,
          headers: {
            "x-api-key": fresh.apiKey,
            "x-request-id": "traced-1",
            "content-type": "application/json",
            ...headers,
          },
          body: method === "GET" ? null : JSON.stringify(body ?? {}),
        });
        return (await answer.json()) as any;
      };
      const { id } = await send("POST", "sandboxes", { envs: { TOKEN: "env-secret-value" } });
      const access = await fresh.services.sandboxes.find(fresh.teamId, id);
      const { secret } = await send("POST", "webhooks", { url: "https://example.invalid/hook" });
      const { ticket } = await send("POST", "tickets");
      await send("POST", "auth/signup", { email: "a@example.com", password: "pass-word-secret" });
      await send("POST", "auth/login", { email: "a@example.com", password: "wrong-pass-secret" });
      await send("GET", "sandboxes", undefined, { "x-api-key": `wrn_${"ab".repeat(16)}` });
      fresh.host.faults = ["refuse"];
      await send("POST", "sandboxes", { envs: { TOKEN: "env-secret-value" } });
      await send("POST", `sandboxes/${id}/exec`, {
        cmd: "true",
        stdin: "stdin-secret",
        envs: { A: "env-secret-value" },
      });
      const log = logged.join("");
      expect(log).toContain("traced-1");
      const secrets = {
        key: fresh.apiKey.slice(4),
        access: access?.access_token,
        secret,
        ticket,
        others: [
          "env-secret-value",
          "pass-word-secret",
          "wrong-pass-secret",
          "stdin-secret",
          "ab".repeat(16),
          "scrape-secret",
        ],
      };
      for (const value of Object.values(secrets).flat()) {
        expect(value).toEqual(expect.any(String));
        expect(log.includes(String(value)) ? value : "not logged").toBe("not logged");
      }
    } finally {
      await fresh.stop();
    }
  });
});
