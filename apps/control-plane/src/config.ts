/** Configuration of the control plane: environment variables (docs/reference/configuration.md). */
import { join, resolve } from "node:path";
import { Type } from "typebox";
import { defineConfig } from "@wrenn/config";
import { embeddedDatabaseUrl } from "@wrenn/postgres";

const definition = defineConfig({
  WRENN_DIR: Type.String({ default: "/var/lib/wrenn" }),
  WRENN_LISTEN: Type.String({ default: "127.0.0.1" }),
  WRENN_PORT: Type.Integer({ default: 7780, minimum: 0, maximum: 65_535 }),
  WRENN_AGENT_SOCKET: Type.Optional(Type.String()),
  DATABASE_URL: Type.Optional(Type.String()),
  WRENN_LOG_LEVEL: Type.Enum(["debug", "info", "warn", "error"], { default: "info" }),
  WRENN_READY_FD: Type.Optional(Type.Integer({ minimum: 3 })),
  WRENN_RECONCILE_INTERVAL_SEC: Type.Integer({ default: 30, minimum: 1, maximum: 3_600 }),
  WRENN_ORPHAN_GRACE_SEC: Type.Integer({ default: 300, minimum: 0, maximum: 86_400 }),
});

export interface Config {
  stateDirectory: string;
  listenAddress: string;
  port: number;
  agentSocket: string;
  agentTokenFile: string;
  apiKeyFile: string;
  databaseUrl: string;
  logLevel: "debug" | "info" | "warn" | "error";
  readyFd: number | undefined;
  reconcileIntervalMs: number;
  orphanGraceMs: number;
}

/** @throws WrennError `invalid_request` naming every wrong variable. */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const values = definition.parse(env);
  const stateDirectory = resolve(values.WRENN_DIR);
  return {
    stateDirectory,
    listenAddress: values.WRENN_LISTEN,
    port: values.WRENN_PORT,
    agentSocket: values.WRENN_AGENT_SOCKET ?? join(stateDirectory, "run", "host-agent.sock"),
    agentTokenFile: join(stateDirectory, "secrets", "agent-token"),
    apiKeyFile: join(stateDirectory, "secrets", "api-key.json"),
    databaseUrl: values.DATABASE_URL ?? embeddedDatabaseUrl(stateDirectory),
    logLevel: values.WRENN_LOG_LEVEL,
    readyFd: values.WRENN_READY_FD,
    reconcileIntervalMs: values.WRENN_RECONCILE_INTERVAL_SEC * 1_000,
    orphanGraceMs: values.WRENN_ORPHAN_GRACE_SEC * 1_000,
  };
}
