/**
 * Requests and WebSocket frames that no client of ours would send: each gets a 4xx that says what is wrong,
 * or an answer that it deserves; never a defect, and the server goes on. 10,000 of them with
 * WRENN_TEST_FULL, a part of them otherwise.
 */
import { once } from "node:events";
import { connect, type AddressInfo, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import fc from "fast-check";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { newId } from "../database/ids.ts";
import { TestServer } from "../database/test-database.ts";
import { newSandboxRow } from "../database/test-rows.ts";
import { OPERATIONS } from "../openapi/operations.ts";
import { startTestApp, type TestApp } from "../test-app.ts";

const FULL = process.env["WRENN_TEST_FULL"] === "1";
const REQUESTS = FULL ? 8_000 : 1_200;
const RAW_REQUESTS = FULL ? 1_000 : 150;
const FRAMES = FULL ? 1_000 : 150;

let server: TestServer;
let test: TestApp;
let port: number;
let sandbox: string;
const buildId = newId("bld_");

beforeAll(async () => {
  server = await TestServer.start();
  test = await startTestApp(await server.newDatabase());
  const { hosts, templates } = test.services;
  await templates.upsertBuiltin(hosts.current().id, [
    { name: "base", buildId, vcpus: 1, memoryMib: 512, diskMib: 2_048, sizeBytes: 1 },
  ]);
  await test.app.listen({ port: 0, host: "127.0.0.1" });
  port = (test.app.server.address() as AddressInfo).port;
});
afterAll(async () => {
  await test.stop();
  await server.stop();
});

/** Tests may destroy the one of the test before. */
beforeEach(async () => {
  const { hosts, sandboxes } = test.services;
  const row = await sandboxes.insert(
    newSandboxRow({ team_id: test.teamId, host_id: hosts.current().id, template_build_id: buildId }),
  );
  await sandboxes.transition(row.id, { to: "running" });
  sandbox = row.id;
});

/** Text of the kinds that parsers and databases stumble over. */
const nastyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constantFrom(
    "",
    "\u0000",
    "a\u0000b",
    "\ud800",
    "../../../../etc/passwd",
    "..\\..\\windows",
    "%2e%2e%2f",
    "a\r\nSet-Cookie: stolen=1",
    "'; drop table users; --",
    "${jndi:ldap://x}",
    "__proto__",
    "constructor",
    "١٢٣",
    "\u202e",
    "x".repeat(70_000),
  ),
);
const nastyValue: fc.Arbitrary<unknown> = fc.oneof(
  nastyText,
  fc.constantFrom(null, true, 0, -1, 1.5, 1e308, -0, 2 ** 53, 2 ** 31, [], {}, [[]], { a: { b: [null] } }),
  fc.array(nastyText, { maxLength: 3 }),
  fc.dictionary(nastyText, nastyText, { maxKeys: 3 }),
);

/** A body, as text or bytes. */
const nastyBody: fc.Arbitrary<string | Buffer> = fc.oneof(
  nastyValue.map((value) => JSON.stringify(value)),
  fc.integer({ min: 1, max: 300_000 }).map((depth) => "[".repeat(depth)),
  fc.integer({ min: 1, max: 200_000 }).map((depth) => `{"metadata":${'{"a":'.repeat(depth)}1${"}".repeat(depth)}}`),
  fc.integer({ min: 1, max: 200_000 }).map((depth) => `{"name":${"[".repeat(depth)}${"]".repeat(depth)}}`),
  fc.constantFrom(
    '{"a":1',
    '{"a":1}x',
    "NaN",
    '{"a":1,}',
    '{"__proto__":{"x":1}}',
    '{"constructor":{"prototype":1}}',
    "﻿{}",
  ),
  fc.uint8Array({ maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
  fc.constant(`"${"x".repeat(1_100_000)}"`),
);

/** The route's own example, with one or all of its fields spoiled. */
const spoiled = (example: unknown): fc.Arbitrary<string | Buffer> => {
  if (typeof example !== "object" || example === null) return nastyBody;
  const names = Object.keys(example);
  const one = fc
    .tuple(fc.constantFrom(...names, "unknown"), nastyValue)
    .map(([name, value]) => JSON.stringify({ ...example, [name]: value }));
  return fc.oneof(one, nastyBody);
};

const segment = fc.oneof(
  nastyText.map((part) => encodeURIComponent(part.toWellFormed()).slice(0, 8_000)),
  fc.constantFrom("%00", "%ff", "%c0%ae", "%zz", "%", "..%2f..", ".", "..", "%2e%2e", "a%0d%0ab", "*", "{id}"),
);

interface Malformed {
  method: string;
  url: string;
  headers: Record<string, string>;
  payload?: string | Buffer;
}

/** A request to a route that exists, with nonsense in its path, query, headers and body. */
function malformed(): fc.Arbitrary<Malformed> {
  const routes = test.app.routeTable.filter(({ access }) => access !== undefined && access.audit !== "user.sign_up");
  return fc.constantFrom(...routes).chain(({ method, path }) => {
    const example = OPERATIONS[`${method} ${path}`]?.request?.body;
    return fc
      .record({
        parts: fc.array(fc.oneof(segment, fc.constant(sandbox)), { minLength: 3, maxLength: 3 }),
        query: fc.array(
          fc.tuple(fc.constantFrom("limit", "cursor", "status", "path", "type", "user", "x", "__proto__"), segment),
          { maxLength: 3 },
        ),
        contentType: fc.constantFrom(
          "application/json",
          "application/json; charset=utf-16",
          "text/plain",
          "application/octet-stream",
          "multipart/form-data",
          "multipart/form-data; boundary=x",
          "x",
        ),
        requestId: fc.constantFrom("abc", "a b", "x".repeat(200), "\u00ff", "<script>"),
        body: fc.option(spoiled(example), { nil: undefined }),
      })
      .map(({ parts, query, contentType, requestId, body }) => {
        const [first = "", second = "", third = ""] = parts;
        const filled = path.replace(":team_id", first).replace(/:\w+/, second).replace(/:\w+/, third);
        const search = query.map(([name, value]) => `${name}=${value}`).join("&");
        return {
          method,
          url: search === "" ? filled : `${filled}?${search}`,
          headers: { "x-request-id": requestId, ...(body === undefined ? {} : { "content-type": contentType }) },
          ...(body === undefined ? {} : { payload: body }),
        };
      });
  });
}

/** @returns what is wrong with an answer */
function problemOf(status: number, body: string, isHead: boolean): string | undefined {
  if (status === 500) return "a defect";
  if (status < 400 || isHead) return undefined;
  const { error } = JSON.parse(body) as { error: { code: string; message: string; request_id: string } };
  if (!/^[A-Za-z0-9._:-]+$/.test(error.request_id)) return "a request id that cannot be used";
  return error.message.startsWith("Cannot ") && error.code !== "internal" ? undefined : "no error of ours";
}

describe("malformed requests", () => {
  it("are refused or answered, never a defect", { timeout: 600_000 }, async () => {
    const counts = new Map<number, number>();
    await fc.assert(
      fc.asyncProperty(malformed(), async ({ method, url, headers, payload }) => {
        const answer = await test.app.inject({
          method: method as "GET",
          url,
          headers: { "x-api-key": test.apiKey, ...headers },
          ...(payload === undefined ? {} : { payload }),
          payloadAsStream: true,
        });
        const isEndless = String(answer.headers["content-type"]).startsWith("text/event-stream");
        if (isEndless) answer.stream().destroy();
        const body = isEndless ? "" : await text(answer.stream());
        counts.set(answer.statusCode, (counts.get(answer.statusCode) ?? 0) + 1);
        expect({
          status: answer.statusCode,
          body,
          problem: problemOf(answer.statusCode, body, method === "HEAD"),
        }).toMatchObject({
          problem: undefined,
        });
      }),
      { numRuns: REQUESTS },
    );
    process.stdout.write(`answers by status: ${JSON.stringify(Object.fromEntries(counts))}\n`);
    expect(counts.get(400)).toBeGreaterThan(REQUESTS / 10);
  });

  it("that are hardly HTTP end with a 4xx or a closed connection", { timeout: 300_000 }, async () => {
    const headers = `Host: x\r\nX-API-Key: ${test.apiKey}\r\n`;
    const raw = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 200 }).map((bytes) => Buffer.from(bytes)),
      fc.constantFrom(
        "GET /v1/templates HTTP/9.9\r\n\r\n",
        "GET /v1/templates\r\n\r\n",
        "GET  /v1/templates HTTP/1.1\r\n\r\n",
        `GET /v1/templates HTTP/1.1\r\n${headers}X-Request-Id: a\r\n b\r\n\r\n`,
        `GET /v1/templates HTTP/1.1\r\n${headers}X-Request-Id: a\rSet-Cookie: b\r\n\r\n`,
        `GET /v1/templates HTTP/1.1\r\n${headers}X-Request-Id: a\0b\r\n\r\n`,
        `GET /v1/templates HTTP/1.1\r\nHost: x\r\nX-API-Key: a\r\nX-API-Key: b\r\n\r\n`,
        `GET /v1/templates HTTP/1.1\r\n${headers}${"X-A: b\r\n".repeat(3_000)}\r\n`,
        `GET /v1/templates HTTP/1.1\r\n${headers}X-A: ${"b".repeat(100_000)}\r\n\r\n`,
        `GET /${"a".repeat(100_000)} HTTP/1.1\r\n${headers}\r\n`,
        `POST /v1/sandboxes HTTP/1.1\r\n${headers}Content-Length: 5\r\nContent-Length: 6\r\n\r\n{}{}{}`,
        `POST /v1/sandboxes HTTP/1.1\r\n${headers}Content-Length: -1\r\n\r\n`,
        `POST /v1/sandboxes HTTP/1.1\r\n${headers}Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`,
        `POST /v1/sandboxes HTTP/1.1\r\n${headers}Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n`,
        `POST /v1/sandboxes HTTP/1.1\r\n${headers}Content-Type: application/json\r\nContent-Length: 99\r\n\r\n{`,
        `GET /v1/sandboxes/${sandbox}/exec/stream HTTP/1.1\r\n${headers}Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n`,
        `GET /v1/sandboxes/${sandbox}/exec/stream HTTP/1.1\r\n${headers}Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n`,
        "\r\n\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
      ),
    );
    await fc.assert(
      fc.asyncProperty(raw, async (bytes) => {
        const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true });
        socket.on("error", () => undefined);
        socket.end(bytes);
        const answer = await text(socket).catch(() => "");
        expect(answer).toMatch(/^(HTTP\/1\.1 (200|4\d\d) |$)/);
        expect(answer).not.toMatch(/^set-cookie/im);
      }),
      { numRuns: RAW_REQUESTS },
    );
  });
});

describe("malformed WebSocket frames", () => {
  it("end the connection that they came on, and nothing else", { timeout: 300_000 }, async () => {
    const frame = fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 64 }).map((bytes) => Buffer.from(bytes)),
      nastyBody.map((body) => maskedFrame(0x81, Buffer.from(body))),
      fc.constantFrom(
        maskedFrame(0x81, Buffer.from([0xff, 0xfe])), // not UTF-8
        maskedFrame(0x82, Buffer.from("bytes")),
        maskedFrame(0x80, Buffer.from("a continuation of nothing")),
        maskedFrame(0x83, Buffer.from("a reserved opcode")),
        maskedFrame(0xc1, Buffer.from("a reserved bit")),
        maskedFrame(0x09, Buffer.from("a ping in parts")),
        maskedFrame(0x89, Buffer.alloc(126)), // a ping that is too long
        maskedFrame(0x88, Buffer.from([0x03])), // half a close code
        maskedFrame(0x88, Buffer.from([0xff, 0xff])), // a close code that does not exist
        Buffer.from([0x81, 0x05, ...Buffer.from("plain")]), // not masked
        Buffer.from([0x81, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]), // 2^64 - 1 bytes
        maskedFrame(0x81, Buffer.from('{"type":"start"}')),
        maskedFrame(0x81, Buffer.from('{"type":"stdin","data":""}')),
      ),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(frame, { minLength: 1, maxLength: 3 }), async (frames) => {
        const socket = await upgraded();
        for (const bytes of frames) socket.write(bytes);
        socket.end();
        // a reset is an end as well
        await new Promise((resolve) => socket.resume().once("close", resolve));
      }),
      { numRuns: FRAMES },
    );
    const open = await new Promise<number>((resolve, reject) =>
      test.app.server.getConnections((error, count) => (error === null ? resolve(count) : reject(error))),
    );
    expect(open).toBe(0);
    const answer = await fetch(`http://127.0.0.1:${port}/v1/sandboxes/${sandbox}`, {
      headers: { "x-api-key": test.apiKey },
    });
    expect(await answer.json()).toMatchObject({ id: sandbox, status: "running" });
  });
});

/** A connection on which WebSocket frames may follow. */
async function upgraded(): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  socket.write(
    `GET /v1/sandboxes/${sandbox}/exec/stream HTTP/1.1\r\nHost: x\r\nX-API-Key: ${test.apiKey}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n`,
  );
  const [head] = (await once(socket, "data")) as [Buffer];
  expect(head.toString()).toMatch(/^HTTP\/1\.1 101 /);
  return socket;
}

/** A frame as clients send them (RFC 6455, 5.2), masked with zeros. */
function maskedFrame(first: number, payload: Buffer): Buffer {
  const { length } = payload;
  const size = Buffer.alloc(length < 126 ? 1 : length < 65_536 ? 3 : 9);
  if (length < 126) size[0] = 0x80 | length;
  else if (length < 65_536) {
    size[0] = 0x80 | 126;
    size.writeUInt16BE(length, 1);
  } else {
    size[0] = 0x80 | 127;
    size.writeBigUInt64BE(BigInt(length), 1);
  }
  return Buffer.concat([Buffer.from([first]), size, Buffer.alloc(4), payload]);
}
