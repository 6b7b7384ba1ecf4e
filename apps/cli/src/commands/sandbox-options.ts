/** Options that several commands share: what a new sandbox is, and how a command is run in one. */
import { type CreateSandboxInput } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { OptionDefinition } from "../define-command.ts";
import type { SandboxCommand } from "../exec/run-in-sandbox.ts";
import { parseInteger, parseMebibytes, parseSeconds } from "../terminal/units.ts";

export interface NewSandboxOptions {
  template?: string;
  vcpus?: number;
  memory?: number;
  disk?: number;
}

export const NEW_SANDBOX_OPTIONS: readonly OptionDefinition[] = [
  { flags: "-T, --template <name>", description: 'template to make it from (default: "base")', completes: "template" },
  { flags: "--vcpus <count>", description: "virtual processors", parse: parseInteger },
  { flags: "--memory <size>", description: "memory, such as 512M or 2G", parse: parseMebibytes },
  { flags: "--disk <size>", description: "size of its disk, such as 4G", parse: parseMebibytes },
];

export function newSandboxBody({ template, vcpus, memory, disk }: NewSandboxOptions): CreateSandboxInput {
  return {
    ...(template === undefined ? {} : { template }),
    ...(vcpus === undefined ? {} : { vcpus }),
    ...(memory === undefined ? {} : { memory_mb: memory }),
    ...(disk === undefined ? {} : { disk_mb: disk }),
  };
}

/** Repeatable. */
export const ENV_OPTION: OptionDefinition = {
  flags: "-e, --env <K=V>",
  description: "environment variable; K alone takes the value from here; repeatable",
  parse: (text, before) => ({ ...(before as Record<string, string> | undefined), ...parseAssignment(text) }),
};

export interface CommandOptions {
  timeout?: number;
  env?: Record<string, string | null>;
  cwd?: string;
  user?: string;
  tty?: boolean;
}

export const COMMAND_OPTIONS: readonly OptionDefinition[] = [
  {
    flags: "--timeout <time>",
    description: "kill the command after this time, such as 90, 5m or 2h",
    parse: parseSeconds,
  },
  ENV_OPTION,
  { flags: "-C, --cwd <directory>", description: "working directory in the sandbox" },
  { flags: "-u, --user <name>", description: "user in the sandbox" },
  { flags: "-t, --tty", description: "give the command a terminal" },
];

/** @param own the environment that variables without a value are taken from */
export function sandboxCommand(
  [program, ...args]: readonly string[],
  { env, cwd, user, timeout, tty }: CommandOptions,
  own: Readonly<Record<string, string>>,
): SandboxCommand {
  if (program === undefined) throw new WrennError("invalid_request", "Cannot run: no command is given");
  const envs = resolveEnvs(env, own);
  return {
    argv: [program, ...args],
    ...(envs === undefined ? {} : { envs }),
    ...(cwd === undefined ? {} : { cwd }),
    ...(user === undefined ? {} : { user }),
    ...(timeout === undefined ? {} : { timeoutSec: timeout }),
    ...(tty === undefined ? {} : { tty }),
  };
}

/** `K=V`, or `K` for a variable of this environment; then the value is looked up by `resolveEnvs`. */
function parseAssignment(text: string): Record<string, string | null> {
  const [, name, value] = /^([A-Za-z_]\w*)(?:=(.*))?$/s.exec(text) ?? [];
  if (name === undefined) {
    throw new WrennError("invalid_request", `Cannot read ${JSON.stringify(text)} as an environment variable`, {
      hint: "Write NAME=value",
    });
  }
  return { [name]: value ?? null };
}

/** Fills in the variables that are to be taken from this environment; those that are unset are left out. */
export function resolveEnvs(
  envs: Record<string, string | null> | undefined,
  own: Readonly<Record<string, string>>,
): Record<string, string> | undefined {
  if (envs === undefined) return undefined;
  const resolved = Object.entries(envs).map(([name, value]) => [name, value ?? own[name]] as const);
  return Object.fromEntries(resolved.filter((entry): entry is [string, string] => entry[1] !== undefined));
}
