/** For tests: a control plane in this process, on a real database, with no host agent. */
import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { FastifyInstance } from "fastify";
import { pino } from "pino";
import { buildApp } from "./app.ts";
import type { ApiKeyFile } from "./auth/first-start.ts";
import { readConfig } from "./config.ts";
import { closeServices, openServices, type Services } from "./services.ts";

export interface TestApp {
  app: FastifyInstance;
  services: Services;
  apiKey: string;
  teamId: string;
  stop(): Promise<void>;
}

/** @param env settings beside the directory and the database */
export async function startTestApp(databaseUrl: string, env: NodeJS.ProcessEnv = {}): Promise<TestApp> {
  const directory = await fs.mkdtemp(join(tmpdir(), "control-plane-"));
  const config = readConfig({ ...env, WRENN_DIR: directory, DATABASE_URL: databaseUrl });
  const log = pino({ level: "silent" });
  const services = await openServices(config, log);
  const app = await buildApp({ services, version: "1.2.3", log, trustedProxies: config.trustedProxies });
  const { api_key, team_id } = JSON.parse(await fs.readFile(config.apiKeyFile, "utf8")) as ApiKeyFile;
  return {
    app,
    services,
    apiKey: api_key,
    teamId: team_id,
    async stop() {
      await app.close();
      await closeServices(services);
      await fs.rm(directory, { recursive: true });
    },
  };
}
