/**
 * Requests that Schemathesis makes up from the document, against a real control plane and database and the
 * model of a host: whatever is asked, the answer is one that the document describes, and none is a 5xx.
 * What needs a guest is in operations.vm.test.ts.
 */
import { afterAll, beforeAll, expect, it } from "vitest";
import { TestServer } from "../../apps/control-plane/src/database/test-database.ts";
import { startTestAppWithHost } from "../../apps/control-plane/src/test-app.ts";
import { fuzz } from "../../tools/schemathesis/schemathesis.ts";
import { GUEST_OPERATIONS, STREAM_OPERATIONS } from "./guest-operations.ts";

const FULL = process.env["WRENN_TEST_FULL"] === "1";
/** On two busy processors; some ten minutes on quiet ones. */
const FULL_MS = 2_700_000;
const SEED = Number(process.env["WRENN_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

let server: TestServer;
let test: Awaited<ReturnType<typeof startTestAppWithHost>>;

beforeAll(async () => {
  server = await TestServer.start();
  test = await startTestAppWithHost(await server.newDatabase());
});
afterAll(async () => {
  await test.stop();
  await server.stop();
});

it(
  "finds no answer that the document does not describe, and no 5xx",
  async () => {
    const { url, apiKey } = test;
    const made = await fetch(`${url}/v1/sandboxes`, { method: "POST", headers: { "x-api-key": apiKey } });
    expect(made.status).toBe(201);
    const { id } = (await made.json()) as { id: string };
    process.stdout.write(`fuzz seed ${SEED}\n`);
    const options = {
      url,
      apiKey,
      seed: SEED,
      maxExamples: FULL ? 100 : 8,
      ...(FULL ? {} : { phases: ["examples", "fuzzing"] as const }),
      config: `[parameters]\n"path.id" = ${JSON.stringify(id)}\n`,
      signal: AbortSignal.timeout(FULL ? FULL_MS : 150_000),
    };
    // the end last: after it every other answer is the same
    const told = await fuzz({ ...options, without: [...GUEST_OPERATIONS, ...STREAM_OPERATIONS, "destroySandbox"] });
    expect(told).toContain("No issues found");
    expect(await fuzz({ ...options, only: ["destroySandbox"] })).toContain("No issues found");
  },
  FULL ? FULL_MS : 180_000,
);
