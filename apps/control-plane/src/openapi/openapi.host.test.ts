/** The document, as it is served; tests/openapi calls what it describes. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fastify } from "fastify";
import { parse } from "yaml";
import { TestServer } from "../database/test-database.ts";
import { startTestApp, type TestApp } from "../test-app.ts";
import { documentRoutes } from "./registry.ts";

let server: TestServer;
let test: TestApp;

beforeAll(async () => {
  server = await TestServer.start();
  test = await startTestApp(await server.newDatabase());
});
afterAll(async () => {
  await test.stop();
  await server.stop();
});

const get = async (url: string) => await test.app.inject({ method: "GET", url });

describe("the OpenAPI document", () => {
  it("is the committed one; after a change: vitest run -u --project host openapi.host", async () => {
    const { body } = await get("/openapi.yaml");
    const committed = body.replace(/^ {2}version: .*$/m, "  version: 0.0.0");
    await expect(committed).toMatchFileSnapshot("../../../../docs/reference/openapi.yaml");
  });

  it("is the same as JSON", async () => {
    const [yaml, json] = await Promise.all([get("/openapi.yaml"), get("/openapi.json")]);
    expect(parse(yaml.body)).toEqual(json.json());
  });

  it("has unique ids, and an example for everything that is sent and answered as JSON", async () => {
    const { paths, components } = (await get("/openapi.json")).json<any>();
    const operations = Object.values<any>(paths).flatMap((methods) => Object.values<any>(methods));
    const ids = operations.map((operation) => operation.operationId as string);
    expect(new Set(ids).size).toBe(ids.length);
    const without = operations.flatMap(({ operationId, requestBody, parameters = [], responses }) => [
      ...Object.values<any>(requestBody?.content ?? {}).flatMap((content) =>
        content.example === undefined ? [`${operationId}: body`] : [],
      ),
      ...parameters.flatMap((one: any) =>
        one.in === "path" && one.example === undefined ? [`${operationId}: ${one.name}`] : [],
      ),
      ...Object.entries<any>(responses).flatMap(([status, { $ref, content = {} }]) => {
        if ($ref !== undefined) content = components.responses[$ref.split("/").at(-1)].content;
        const json = content["application/json"];
        return json === undefined || "example" in json || "examples" in json ? [] : [`${operationId}: ${status}`];
      }),
    ]);
    expect(without).toEqual([]);
  });
});

describe("a route of the API", () => {
  it("cannot exist without a description, nor a description without a route", async () => {
    const undocumented = fastify();
    documentRoutes(undocumented, {});
    expect(() => undocumented.get("/v1/things/:id", async () => "")).toThrow(
      "Cannot register GET /v1/things/:id: it is not documented",
    );
    const dead = fastify();
    documentRoutes(dead, { "GET /v1/things": { id: "x", tag: "Platform", summary: "x", answers: {} } });
    await expect(dead.ready()).rejects.toThrow("Cannot document GET /v1/things: there is no such route");
  });
});

describe("the reference", () => {
  it("loads everything from this server, and may not do otherwise", async () => {
    const { headers, body } = await get("/docs");
    expect(headers["content-security-policy"]).toMatch(/^default-src 'none'; script-src 'self';/);
    const parts = [...body.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, target = ""]) => target);
    expect(parts.length).toBeGreaterThan(3);
    for (const part of parts) expect({ part, status: (await get(part)).statusCode }).toEqual({ part, status: 200 });
  });
});
