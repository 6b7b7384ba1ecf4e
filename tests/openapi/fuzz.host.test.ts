/**
 * Requests that Schemathesis makes up from the document, against a real control plane and database and the
 * model of a host: whatever is asked, the answer is one that the document describes, and none is a 5xx.
 * What needs a guest is in operations.vm.test.ts.
 */
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import type { AddressInfo } from "node:net";
import { pino } from "pino";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { ModelHost } from "../../apps/control-plane/src/agent/model-host.ts";
import { buildApp } from "../../apps/control-plane/src/app.ts";
import { readConfig } from "../../apps/control-plane/src/config.ts";
import { newId } from "../../apps/control-plane/src/database/ids.ts";
import { TestServer } from "../../apps/control-plane/src/database/test-database.ts";
import { closeServices, openServices, startServices, type Services } from "../../apps/control-plane/src/services.ts";
import { fuzz } from "../../tools/schemathesis/schemathesis.ts";
import { GUEST_OPERATIONS, STREAM_OPERATIONS } from "./guest-operations.ts";

const FULL = process.env["WRENN_TEST_FULL"] === "1";
/** On two busy processors; some ten minutes on quiet ones. */
const FULL_MS = 2_700_000;
const HEARTBEAT_PATIENCE_MS = 60_000;
const SEED = Number(process.env["WRENN_TEST_SEED"] ?? Math.floor(Math.random() * 2 ** 31));

let server: TestServer;
let directory: string;
let host: ModelHost;
let services: Services;
let app: Awaited<ReturnType<typeof buildApp>>;
let url: string;
let apiKey: string;

beforeAll(async () => {
  server = await TestServer.start();
  directory = await fs.mkdtemp(join(tmpdir(), "wrenn-fuzz-"));
  const config = readConfig({ WRENN_DIR: directory, DATABASE_URL: await server.newDatabase() });
  await fs.mkdir(dirname(config.agentSocket), { recursive: true });
  await fs.mkdir(dirname(config.agentTokenFile), { recursive: true });
  await fs.writeFile(config.agentTokenFile, "secret");
  host = await ModelHost.start({
    socketPath: config.agentSocket,
    token: "secret",
    templates: [{ name: "base", buildId: newId("bld_") }],
  });
  const log = pino({ level: "silent" });
  services = await openServices(config, log);
  startServices(services);
  app = await buildApp({ services, version: "1.2.3", log, config });
  await app.listen({ port: 0, host: "127.0.0.1" });
  url = `http://127.0.0.1:${(app.server.address() as AddressInfo).port}`;
  apiKey = (JSON.parse(await fs.readFile(config.apiKeyFile, "utf8")) as { api_key: string }).api_key;
});
afterAll(async () => {
  await app?.close();
  await closeServices(services);
  await host.stop();
  await server.stop();
  await fs.rm(directory, { recursive: true });
});

it(
  "finds no answer that the document does not describe, and no 5xx",
  async () => {
    // the host's templates come with its first heartbeat
    const { id } = await vi.waitUntil(async () => {
      const made = await fetch(`${url}/v1/sandboxes`, { method: "POST", headers: { "x-api-key": apiKey } });
      return made.status === 201 && ((await made.json()) as { id: string });
    }, HEARTBEAT_PATIENCE_MS);
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
