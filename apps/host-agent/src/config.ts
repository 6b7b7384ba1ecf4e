/** The host agent's configuration; docs/reference/configuration.md describes every variable. */
import { join } from "node:path";
import { Type, type Static } from "typebox";
import { defineConfig } from "@wrenn/config";
import { ACCELERATORS, DISKS, VMMS } from "@wrenn/virtualization";
import { COLLAPSE_GENERATIONS } from "./snapshot/policy.ts";
import { DEFAULT_LIMITS } from "./network/limits.ts";

const definition = defineConfig({
  WRENN_DIR: Type.String({ default: "/var/lib/wrenn" }),
  WRENN_AGENT_SOCKET: Type.Optional(Type.String()),
  WRENN_ACCEL: Type.Optional(Type.Enum([...ACCELERATORS])),
  WRENN_VMM: Type.Optional(Type.Enum([...VMMS])),
  WRENN_DISKS: Type.Optional(Type.Enum([...DISKS])),
  WRENN_FIRECRACKER: Type.String({ default: "firecracker" }),
  WRENN_JAILER: Type.Optional(Type.String()),
  WRENN_QEMU: Type.String({ default: "qemu-system-x86_64" }),
  WRENN_DNS: Type.Optional(Type.String()),
  WRENN_UPLINK: Type.Optional(Type.String()),
  WRENN_SLOT_FIRST: Type.Integer({ default: 1, minimum: 1, maximum: 32767 }),
  WRENN_SLOT_COUNT: Type.Integer({ default: 4096, minimum: 1, maximum: 32767 }),
  WRENN_SLOT_READY: Type.Integer({ default: 8, minimum: 0, maximum: 64 }),
  // Far above what useradd and user namespaces hand out by default.
  WRENN_UID_FIRST: Type.Integer({ default: 2_000_000, minimum: 65_536, maximum: 2_000_000_000 }),
  // Golden snapshots are rebuilt in seconds; this keeps some ten of them.
  WRENN_GOLDEN_MAX_MIB: Type.Integer({ default: 8192, minimum: 0 }),
  WRENN_MEMORY_RESERVED_MIB: Type.Integer({ default: 256, minimum: 0 }),
  WRENN_DISK_RESERVED_MIB: Type.Integer({ default: 1024, minimum: 64 }),
  WRENN_THREADS_RESERVED: Type.Integer({ default: 1024, minimum: 0 }),
  WRENN_NET_CONNECTIONS: Type.Integer({ default: DEFAULT_LIMITS.connections, minimum: 1 }),
  WRENN_NET_NEW_CONNECTIONS_PER_SEC: Type.Integer({ default: DEFAULT_LIMITS.newConnectionsPerSecond, minimum: 1 }),
  WRENN_NET_BYTES_PER_SEC: Type.Optional(Type.Integer({ minimum: 1500 })),
  WRENN_NET_PACKETS_PER_SEC: Type.Optional(Type.Integer({ minimum: 1 })),
  // Far above what one sandbox needs, far below what a disk that others share can do.
  WRENN_DISK_BYTES_PER_SEC: Type.Integer({ default: 256 * 1024 * 1024, minimum: 1024 * 1024 }),
  WRENN_DISK_OPERATIONS_PER_SEC: Type.Optional(Type.Integer({ minimum: 10 })),
  WRENN_METRICS_PORT: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535 })),
  WRENN_HEALTH_INTERVAL_SEC: Type.Integer({ default: 10, minimum: 1, maximum: 3600 }),
  WRENN_ON_EXIT: Type.Union([Type.Literal("keep"), Type.Literal("destroy")], { default: "keep" }),
  // More make a resume open more files; fewer write the same bytes more often.
  WRENN_COLLAPSE_GENERATIONS: Type.Integer({ default: COLLAPSE_GENERATIONS, minimum: 2, maximum: 1000 }),
  OTEL_EXPORTER_OTLP_ENDPOINT: Type.Optional(Type.String()),
  WRENN_LOG_LEVEL: Type.Union(
    [Type.Literal("debug"), Type.Literal("info"), Type.Literal("warn"), Type.Literal("error")],
    { default: "info" },
  ),
  WRENN_READY_FD: Type.Optional(Type.Integer({ minimum: 3 })),
});

export type HostAgentConfig = Readonly<Static<typeof definition.schema>> & {
  readonly socketPath: string;
  readonly tokenPath: string;
};

/** @throws WrennError `invalid_request` naming every wrong variable */
export function parseConfig(env: NodeJS.ProcessEnv): HostAgentConfig {
  const config = definition.parse(env);
  return {
    ...config,
    socketPath: config.WRENN_AGENT_SOCKET ?? join(config.WRENN_DIR, "run", "host-agent.sock"),
    tokenPath: join(config.WRENN_DIR, "secrets", "agent-token"),
  };
}
