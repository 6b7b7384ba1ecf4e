/** Configuration of the control plane: environment variables (docs/reference/configuration.md). */
import { join, resolve } from "node:path";
import { Type } from "typebox";
import { defineConfig } from "@wrenn/config";
import { WrennError } from "@wrenn/errors";
import { embeddedDatabaseUrl } from "@wrenn/postgres";
import type { SignUpPolicy } from "./auth/login.ts";
import { parseSecrets, type SessionSecrets } from "./auth/session-secrets.ts";
import type { TlsFiles } from "./http/tls.ts";
import type { Limits } from "./quotas/quotas.ts";

/** Of every team that has no quota of its own. */
const Limit = Type.Optional(Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }));

const definition = defineConfig({
  WRENN_DIR: Type.String({ default: "/var/lib/wrenn" }),
  WRENN_LISTEN: Type.String({ default: "127.0.0.1" }),
  WRENN_PORT: Type.Integer({ default: 7780, minimum: 0, maximum: 65_535 }),
  WRENN_AGENT_SOCKET: Type.Optional(Type.String()),
  DATABASE_URL: Type.Optional(Type.String()),
  WRENN_MODE: Type.Enum(["local", "production"], { default: "local" }),
  WRENN_JWT_SECRET: Type.Optional(Type.String()),
  WRENN_SIGNUP: Type.Enum(["open", "invitation"], { default: "open" }),
  WRENN_TRUSTED_PROXIES: Type.Optional(Type.String()),
  WRENN_TEAM_MAX_RUNNING_SANDBOXES: Limit,
  WRENN_TEAM_MAX_VCPUS: Limit,
  WRENN_TEAM_MAX_MEMORY_MB: Limit,
  WRENN_TEAM_MAX_SNAPSHOT_BYTES: Limit,
  WRENN_LOG_LEVEL: Type.Enum(["debug", "info", "warn", "error"], { default: "info" }),
  WRENN_READY_FD: Type.Optional(Type.Integer({ minimum: 3 })),
  WRENN_RECONCILE_INTERVAL_SEC: Type.Integer({ default: 30, minimum: 1, maximum: 3_600 }),
  WRENN_TLS_CERT: Type.Optional(Type.String()),
  WRENN_TLS_KEY: Type.Optional(Type.String()),
  WRENN_RATE_LIMIT_PER_MINUTE: Type.Integer({ default: 6_000, minimum: 0, maximum: 10_000_000 }),
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(Type.String()),
  WRENN_METRICS_TOKEN: Type.Optional(Type.String()),
  WRENN_EVENT_RETENTION_HOURS: Type.Integer({ default: 168, minimum: 1, maximum: 8_760 }),
  WRENN_WEBHOOK_NETWORKS: Type.Optional(Type.String()),
  WRENN_ORPHAN_GRACE_SEC: Type.Integer({ default: 300, minimum: 0, maximum: 86_400 }),
  WRENN_SETTLED_AGE_SEC: Type.Integer({ default: 60, minimum: 5, maximum: 3_600 }),
});

export interface Config {
  stateDirectory: string;
  listenAddress: string;
  port: number;
  agentSocket: string;
  agentTokenFile: string;
  apiKeyFile: string;
  databaseUrl: string;
  /** Undefined: generated, and kept in `sessionSecretsFile`. */
  sessionSecrets: SessionSecrets | undefined;
  sessionSecretsFile: string;
  signUpPolicy: SignUpPolicy;
  /** Addresses whose X-Forwarded-For is believed. */
  trustedProxies: string[];
  teamLimits: Limits;
  logLevel: "debug" | "info" | "warn" | "error";
  readyFd: number | undefined;
  reconcileIntervalMs: number;
  orphanGraceMs: number;
  settledAgeMs: number;
  /** Undefined: plain HTTP. */
  tls: TlsFiles | undefined;
  /** Requests of one caller; 0: any number. */
  rateLimitPerMinute: number;
  /** OTLP collector; undefined: nothing is traced. */
  traceEndpoint: string | undefined;
  /** Undefined: metrics are for this machine. */
  metricsToken: string | undefined;
  eventRetentionHours: number;
  /** CIDR ranges that webhooks may reach although they are private. */
  webhookNetworks: string[];
}

/** @throws WrennError `invalid_request` naming every wrong variable. */
export function readConfig(env: NodeJS.ProcessEnv): Config {
  const values = definition.parse(env);
  const stateDirectory = resolve(values.WRENN_DIR);
  if (values.WRENN_JWT_SECRET === undefined && values.WRENN_MODE === "production") {
    throw new WrennError("invalid_request", "Cannot start in production mode: WRENN_JWT_SECRET is not set", {
      hint: "Make one with: openssl rand -hex 32; every control plane of the platform needs the same",
    });
  }
  return {
    stateDirectory,
    listenAddress: values.WRENN_LISTEN,
    port: values.WRENN_PORT,
    agentSocket: values.WRENN_AGENT_SOCKET ?? join(stateDirectory, "run", "host-agent.sock"),
    agentTokenFile: join(stateDirectory, "secrets", "agent-token"),
    apiKeyFile: join(stateDirectory, "secrets", "api-key.json"),
    databaseUrl: values.DATABASE_URL ?? embeddedDatabaseUrl(stateDirectory),
    sessionSecrets:
      values.WRENN_JWT_SECRET === undefined ? undefined : parseSecrets(values.WRENN_JWT_SECRET, "WRENN_JWT_SECRET"),
    sessionSecretsFile: join(stateDirectory, "secrets", "jwt-secret"),
    signUpPolicy: values.WRENN_SIGNUP,
    trustedProxies: values.WRENN_TRUSTED_PROXIES?.split(",").map((part) => part.trim()) ?? [],
    teamLimits: {
      runningSandboxes: values.WRENN_TEAM_MAX_RUNNING_SANDBOXES,
      vcpus: values.WRENN_TEAM_MAX_VCPUS,
      memoryMib: values.WRENN_TEAM_MAX_MEMORY_MB,
      snapshotBytes: values.WRENN_TEAM_MAX_SNAPSHOT_BYTES,
    },
    logLevel: values.WRENN_LOG_LEVEL,
    readyFd: values.WRENN_READY_FD,
    reconcileIntervalMs: values.WRENN_RECONCILE_INTERVAL_SEC * 1_000,
    tls: tlsOf(values.WRENN_TLS_CERT, values.WRENN_TLS_KEY),
    rateLimitPerMinute: values.WRENN_RATE_LIMIT_PER_MINUTE,
    traceEndpoint: values.OTEL_EXPORTER_OTLP_ENDPOINT,
    metricsToken: values.WRENN_METRICS_TOKEN,
    eventRetentionHours: values.WRENN_EVENT_RETENTION_HOURS,
    webhookNetworks: values.WRENN_WEBHOOK_NETWORKS?.split(",").map((network) => network.trim()) ?? [],
    orphanGraceMs: values.WRENN_ORPHAN_GRACE_SEC * 1_000,
    settledAgeMs: values.WRENN_SETTLED_AGE_SEC * 1_000,
  };
}

function tlsOf(certificate: string | undefined, key: string | undefined): TlsFiles | undefined {
  if (certificate === undefined && key === undefined) return undefined;
  if (certificate !== undefined && key !== undefined) return { certificate, key };
  throw new WrennError("invalid_request", "Cannot serve TLS: one of WRENN_TLS_CERT and WRENN_TLS_KEY is missing", {
    hint: "Set both, or none",
  });
}
