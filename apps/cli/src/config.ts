/**
 * The CLI's configuration (docs/reference/configuration.md), and the environment that the processes of
 * the platform inherit.
 */
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { defineConfig, withEnvFile } from "@wrenn/config";
import { ACCELERATORS, DISKS, VMMS } from "@wrenn/virtualization";
import { Type, type Static } from "typebox";

const definition = defineConfig({
  WRENN_DIR: Type.String({ default: "/var/lib/wrenn", description: "The state directory." }),
  WRENN_PORT: Type.Optional(Type.Integer({ minimum: 1, maximum: 65_535, description: "Port of the API; 7780." })),
  WRENN_LISTEN: Type.String({ default: "127.0.0.1", description: "Address that the API listens on." }),
  WRENN_API_URL: Type.Optional(Type.String({ description: "Another platform's API." })),
  WRENN_API_KEY: Type.Optional(Type.String({ description: "The key that requests carry." })),
  WRENN_ACCEL: Type.Optional(Type.Enum([...ACCELERATORS], { description: "Against the choice of `wrenn doctor`." })),
  WRENN_VMM: Type.Optional(Type.Enum([...VMMS], { description: "Against the choice of `wrenn doctor`." })),
  WRENN_DISKS: Type.Optional(Type.Enum([...DISKS], { description: "Against the choice of `wrenn doctor`." })),
  WRENN_FIRECRACKER: Type.String({ default: "firecracker", description: "The Firecracker to run." }),
  WRENN_JAILER: Type.Optional(Type.String({ description: "The jailer to start Firecracker through." })),
  WRENN_QEMU: Type.String({ default: "qemu-system-x86_64", description: "The QEMU to run." }),
  WRENN_DNS: Type.Optional(Type.String({ description: "Resolvers for the guests." })),
  WRENN_UID_FIRST: Type.Integer({ default: 2_000_000, description: "User id of slot 0's VMM." }),
  WRENN_SLOT_FIRST: Type.Integer({ default: 1, description: "First network slot." }),
  WRENN_SLOT_COUNT: Type.Integer({ default: 4096, description: "How many slots there may be." }),
  WRENN_LOG_LEVEL: Type.Enum(["debug", "info", "warn", "error"], { default: "info" }),
  WRENN_TEST_GUEST_DIR: Type.String({ default: "/var/lib/wrenn-test", description: "What tests share." }),
  HOME: Type.String({ default: "/root", description: "The user's home." }),
  XDG_CONFIG_HOME: Type.Optional(Type.String({ description: "Where the user's settings are; ~/.config." })),
  DATABASE_URL: Type.Optional(Type.String({ description: "A PostgreSQL 15 or newer." })),
});

const ROOT = fileURLToPath(new URL("../../..", import.meta.url)).replace(/\/$/, "");

/** Port of the API unless told. */
export const DEFAULT_PORT = 7780;

/** What the environment says, with the checkout's own paths. */
export interface CliConfig extends Readonly<Static<typeof definition.schema>> {
  /** Absolute WRENN_DIR. */
  stateDirectory: string;
  /** Where `wrenn login` keeps the session. */
  sessionFile: string;
  /** The checkout. */
  root: string;
  /** The environment that processes of the platform inherit. */
  env: Readonly<Record<string, string>>;
}

/** @throws WrennError `invalid_request` naming a wrong variable. */
export function readConfig(given: NodeJS.ProcessEnv = process.env): CliConfig {
  const env = withEnvFile(given, join(ROOT, ".env"));
  const config = definition.parse(env);
  return {
    ...config,
    stateDirectory: resolve(config.WRENN_DIR),
    sessionFile: join(config.XDG_CONFIG_HOME ?? join(config.HOME, ".config"), "wrenn", "session.json"),
    root: ROOT,
    env: Object.fromEntries(Object.entries(env).filter((entry): entry is [string, string] => entry[1] !== undefined)),
  };
}
