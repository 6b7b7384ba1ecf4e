/**
 * Every operation of the document, called with its own example on a real platform; then requests that
 * Schemathesis makes up for those that end in a guest.
 *
 * An id in an example stands for the thing of that id in the example of another operation's answer: what
 * the real answer brings takes its place. So operations that make things come first, and DELETE last.
 */
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { WebSocket } from "ws";
import { patient } from "../config.ts";
import { fuzz } from "../../tools/schemathesis/schemathesis.ts";
import { startPlatform, type Platform } from "../first-light/platform.ts";
import { leakGate } from "../leaks/gate.ts";
import { GUEST_OPERATIONS, STREAM_OPERATIONS } from "./guest-operations.ts";

const SEED = Number(process.env["WRENN_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

interface Described {
  operationId: string;
  parameters?: { name: string; in: "path" | "query" | "header"; example?: unknown }[];
  requestBody?: { content: Record<string, { example?: unknown }> };
  responses: Record<string, { content?: Record<string, { example?: unknown }> }>;
  security: Record<string, unknown>[];
}
interface Operation extends Described {
  method: string;
  path: string;
}

let platform: Platform;
let operations: Operation[];

leakGate(() => ({
  stateDirectory: platform.directory,
  directories: [join(platform.directory, "sandboxes")],
  // The database's own workers come and go.
  ignore: (kind, item) => kind === "process" && item.includes("postgres"),
}));

beforeAll(async () => {
  platform = await startPlatform({ WRENN_SLOT_FIRST: "24500" });
  const { body } = await platform.request("GET", "/openapi.json");
  operations = Object.entries<Record<string, Described>>(body.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, described]) => ({ ...described, method: method.toUpperCase(), path })),
  );
});
afterAll(async () => {
  await platform?.stop();
});

/** Real ids by those of the examples. */
class Things {
  readonly #real = new Map<string, string>();
  /** Of the person who signed up; the password that changes ends the one before. */
  session = "";

  learn(example: unknown, real: unknown): void {
    if (!isRecord(example) || !isRecord(real)) return;
    for (const [key, value] of Object.entries(example)) {
      const found = real[key];
      if (
        typeof value === "string" &&
        typeof found === "string" &&
        (key === "id" || key === "token" || key.endsWith("_id"))
      )
        if (!this.#real.has(value)) this.#real.set(value, found);
    }
    if (typeof real["expires_at"] === "string" && typeof real["email"] === "string")
      this.session = String(real["token"]);
  }

  /** The value with every example id replaced. */
  replace<T>(value: T): T {
    let text = JSON.stringify(value);
    for (const [example, real] of this.#real) text = text.replaceAll(example, real);
    return JSON.parse(text) as T;
  }
}

const isRecord = (value: unknown): value is Record<string, unknown> => typeof value === "object" && value !== null;

/** Two blocks of zeros end an archive; a document cannot show them. */
const EMPTY_ARCHIVE = new Uint8Array(1_024);

const textOf = (body: unknown): string => (typeof body === "string" ? body : JSON.stringify(body));

function textsOf(entries: unknown[][]): Record<string, string> {
  return Object.fromEntries(entries.map(([name, value]) => [String(name), String(value)]));
}

/** The key where it is enough, for its team is the one that the other things belong to. */
function credentials(security: Operation["security"], things: Things): Record<string, string> {
  if (security.length === 0 || security.some((one) => "apiKey" in one)) return { "x-api-key": platform.apiKey };
  return { authorization: `Bearer ${things.session}` };
}

function requestOf({ method, path, parameters = [], requestBody, security }: Operation, things: Things) {
  const given = (place: string) =>
    parameters.filter((one) => one.in === place && one.example !== undefined).map((one) => [one.name, one.example]);
  const filled = given("path").reduce(
    (text, [name, example]) => text.replace(`{${String(name)}}`, encodeURIComponent(String(things.replace(example)))),
    path,
  );
  const query = new URLSearchParams(textsOf(things.replace(given("query"))));
  const [type, content] = Object.entries(requestBody?.content ?? {})[0] ?? [];
  const body = things.replace(content?.example ?? null);
  return {
    url: `${platform.url}${filled}${query.size === 0 ? "" : `?${query.toString()}`}`,
    init: {
      method,
      headers: {
        ...credentials(security, things),
        ...textsOf(things.replace(given("header"))),
        ...(type === undefined || body === null ? {} : { "content-type": type }),
      },
      ...(body === null ? {} : { body: type === "application/x-tar" ? EMPTY_ARCHIVE : textOf(body) }),
    } satisfies RequestInit,
  };
}

/** @returns what is wrong with the answer */
async function callWithExample(operation: Operation, things: Things): Promise<string[]> {
  const { operationId: id, responses } = operation;
  const { url, init } = requestOf(operation, things);
  if ("101" in responses) {
    const socket = new WebSocket(url.replace("http", "ws"), { headers: init.headers });
    await new Promise((resolve, reject) => socket.once("open", resolve).once("error", reject));
    socket.terminate();
    return [];
  }
  const response = await fetch(url, { ...init, signal: AbortSignal.timeout(patient(60_000)) });
  const type = response.headers.get("content-type") ?? "";
  const isEndless = type.startsWith("text/event-stream");
  if (isEndless) await response.body?.cancel();
  const text = isEndless ? "" : await response.text();
  const status = String(response.status);
  if (!(status in responses) || !response.ok) return [`${id}: ${status} ${text}`];
  const example = responses[status]?.content?.["application/json"]?.example;
  if (text === "" || !isRecord(example) || Array.isArray(example)) return [];
  const answer = JSON.parse(text) as Record<string, unknown>;
  things.learn(example, answer);
  // an example shows nothing that real answers do not have
  return Object.keys(example).flatMap((key) => (key in answer ? [] : [`${id}: the answer has no ${key}`]));
}

/** Two operations delete the same thing: what makes it again in between. */
const MADE_AGAIN: Record<string, string> = { deleteSnapshot: "createSnapshot", deleteTemplate: "createSnapshot" };

it("answers every example as it says", async () => {
  const things = new Things();
  const problems: string[] = [];
  const ends = operations.filter(({ method }) => method === "DELETE").toReversed();
  for (const operation of [...operations.filter(({ method }) => method !== "DELETE"), ...ends]) {
    const again = operations.find(({ operationId }) => operationId === MADE_AGAIN[operation.operationId]);
    if (again !== undefined) problems.push(...(await callWithExample(again, things)));
    problems.push(...(await callWithExample(operation, things)));
  }
  expect(problems).toEqual([]);
  const { body: left } = await platform.request("GET", "/v1/sandboxes"); // children of a fork
  for (const { id } of left) await platform.request("DELETE", `/v1/sandboxes/${id}`);
});

it("answers whatever is asked of a guest as the document says, and never with a 5xx", async () => {
  const { body } = await platform.request("POST", "/v1/sandboxes", { timeout_sec: 0 });
  process.stdout.write(`fuzz seed ${SEED}\n`);
  const told = await fuzz({
    url: platform.url,
    apiKey: platform.apiKey,
    seed: SEED,
    maxExamples: 8,
    phases: ["examples", "fuzzing"],
    only: GUEST_OPERATIONS.filter((id) => !STREAM_OPERATIONS.includes(id)),
    config: `[parameters]\n"path.id" = ${JSON.stringify(body.id)}\n"query.path" = "/tmp/fuzzed"\n`,
    signal: AbortSignal.timeout(patient(170_000)),
  });
  await platform.request("DELETE", `/v1/sandboxes/${body.id}`);
  expect(told).toContain("No issues found");
});
