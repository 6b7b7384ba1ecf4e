import { once } from "node:events";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { promisify } from "node:util";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { FinishedSpan } from "./exporter.ts";
import { currentTraceparent, span, startTracing, stopTracing } from "./index.ts";
import { formatTraceparent, parseTraceparent } from "./traceparent.ts";

let collector: Server;
let spans: FinishedSpan[];
let status: number;
let answer: string;
let endpoint: string;
let errors: unknown[];
let paths: Set<string>;

beforeEach(async () => {
  spans = [];
  errors = [];
  paths = new Set();
  status = 200;
  answer = "{}";
  collector = createServer((request, response) => {
    void json(request).then((body) => {
      paths.add(request.url ?? "");
      for (const { scopeSpans } of (body as any).resourceSpans)
        for (const scope of scopeSpans) spans.push(...scope.spans);
      response.writeHead(status).end(answer);
    });
  }).listen(0, "127.0.0.1");
  await once(collector, "listening");
  endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
});
afterEach(async () => {
  await stopTracing();
  collector.closeAllConnections();
  collector.close();
});
const start = () => startTracing({ endpoint, serviceName: "test", onError: (error) => errors.push(error) });

describe("span()", () => {
  it("records spans within spans, and how they ended", async () => {
    start();
    let inner: string | undefined;
    await span("outer", { kind: "server", attributes: { route: "/x", none: undefined } }, async () => {
      await span("inner", {}, async () => void (inner = currentTraceparent()));
      await expect(span("failing", {}, () => Promise.reject(new Error("no")))).rejects.toThrow("no");
    });
    expect(currentTraceparent()).toBeUndefined();
    await stopTracing();
    const byName = Object.fromEntries(spans.map((one) => [one.name, one]));
    const { outer } = byName;
    expect(outer).toMatchObject({
      kind: 2,
      status: { code: 1 },
      attributes: [{ key: "route", value: { stringValue: "/x" } }],
    });
    expect(outer?.parentSpanId).toBeUndefined();
    for (const name of ["inner", "failing"])
      expect(byName[name]).toMatchObject({ traceId: outer?.traceId, parentSpanId: outer?.spanId });
    expect(byName["failing"]?.status).toEqual({ code: 2, message: "no" });
    expect(parseTraceparent(inner)?.spanId).toBe(byName["inner"]?.spanId);
    expect(BigInt(outer?.endTimeUnixNano ?? 0) >= BigInt(outer?.startTimeUnixNano ?? 1)).toBe(true);
  });

  it("goes on with the trace of another process, and records nothing that it does not want recorded", async () => {
    start();
    const theirs = { traceId: "0af7651916cd43dd8448eb211c80319c", spanId: "b7ad6b7169203331", sampled: true };
    await span("wanted", { traceparent: formatTraceparent(theirs) }, async () => undefined);
    await span("unwanted", { traceparent: formatTraceparent({ ...theirs, sampled: false }) }, async () => {
      expect(currentTraceparent()).toMatch(/-00$/);
    });
    await stopTracing();
    expect(spans).toHaveLength(1);
    expect([...paths]).toEqual(["/v1/traces"]);
    expect(spans[0]).toMatchObject({ name: "wanted", traceId: theirs.traceId, parentSpanId: theirs.spanId });
  });

  it("does nothing until tracing is started, and fails nothing when the collector does", async () => {
    expect(await span("off", {}, async () => currentTraceparent() ?? "none")).toBe("none");
    status = 500;
    start();
    expect(await span("on", {}, async () => 1)).toBe(1);
    await stopTracing();
    expect(errors).toHaveLength(1);
  });

  it("leaves no connection open behind an answer that is longer than anybody reads", async () => {
    answer = "x".repeat(4_194_304);
    for (let n = 0; n < 3; n++) {
      start();
      await span("work", {}, async () => undefined);
      await stopTracing();
    }
    expect(errors).toEqual([]);
    const open = promisify(collector.getConnections.bind(collector));
    await vi.waitUntil(async () => (await open()) === 0, { timeout: 10_000 });
  });
});

describe("parseTraceparent()", () => {
  it("takes what the standard takes", () => {
    const text = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    expect(formatTraceparent(parseTraceparent(text) as never)).toBe(text);
    for (const bad of [
      "",
      "x",
      text.slice(1),
      text.replace("0af7", "0AF7"),
      `00-${"0".repeat(32)}-b7ad6b7169203331-01`,
    ])
      expect([bad, parseTraceparent(bad)]).toEqual([bad, undefined]);
  });
});
