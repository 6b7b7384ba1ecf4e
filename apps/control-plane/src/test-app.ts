/** For tests: a control plane in this process, on a real database, without a host agent or with a model of one. */
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FastifyInstance } from "fastify";
import { pino, type Logger } from "pino";
import { ModelHost } from "./agent/model-host.ts";
import { buildApp } from "./app.ts";
import type { ApiKeyFile } from "./auth/first-start.ts";
import { readConfig } from "./config.ts";
import { newId } from "./database/ids.ts";
import { closeServices, openServices, startServices, type Services } from "./services.ts";

export interface TestAppOptions {
  /** Environment variables. */
  settings?: Record<string, string>;
  log?: Logger;
}

export interface TestApp {
  app: FastifyInstance;
  services: Services;
  apiKey: string;
  teamId: string;
  stateDirectory: string;
  stop(): Promise<void>;
}

/** @param env settings beside the directory and the database */
export async function startTestApp(
  databaseUrl: string,
  env: NodeJS.ProcessEnv = {},
  log: Logger = pino({ level: "silent" }),
): Promise<TestApp> {
  const directory = await fs.mkdtemp(join(tmpdir(), "control-plane-"));
  const config = readConfig({ ...env, WRENN_DIR: directory, DATABASE_URL: databaseUrl });
  const services = await openServices(config, log);
  const app = await buildApp({ services, version: "1.2.3", log, config });
  const { api_key, team_id } = JSON.parse(await fs.readFile(config.apiKeyFile, "utf8")) as ApiKeyFile;
  return {
    app,
    services,
    apiKey: api_key,
    teamId: team_id,
    stateDirectory: directory,
    async stop() {
      await app.close();
      await closeServices(services);
      await fs.rm(directory, { recursive: true });
    },
  };
}

/** A control plane that does all of its work, listening, with a model of a host that has the template `base`. */
export async function startTestAppWithHost(
  databaseUrl: string,
  options: TestAppOptions = {},
): Promise<TestApp & { host: ModelHost; url: string }> {
  const directory = await fs.mkdtemp(join(tmpdir(), "model-host-"));
  const agentSocket = join(directory, "agent.sock");
  const host = await ModelHost.start({
    socketPath: agentSocket,
    token: "secret",
    templates: [{ name: "base", buildId: newId("bld_") }],
  });
  const test = await startTestApp(databaseUrl, { WRENN_AGENT_SOCKET: agentSocket, ...options.settings }, options.log);
  await fs.writeFile(join(test.stateDirectory, "secrets", "agent-token"), "secret");
  startServices(test.services);
  await test.services.hosts.firstContact;
  const url = await test.app.listen({ port: 0, host: "127.0.0.1" });
  return {
    ...test,
    host,
    url,
    async stop() {
      await test.stop();
      await host.stop();
      await fs.rm(directory, { recursive: true });
    },
  };
}
