import { WrennError } from "@wrenn/errors";
import { defineCommand } from "../../define-command.ts";
import { parseSeconds } from "../../terminal/units.ts";
import {
  ENV_OPTION,
  NEW_SANDBOX_OPTIONS,
  newSandboxBody,
  resolveEnvs,
  type NewSandboxOptions,
} from "../sandbox-options.ts";

interface CreateOptions extends NewSandboxOptions {
  timeout?: number;
  onTimeout?: "destroy" | "pause";
  env?: Record<string, string | null>;
  metadata?: Record<string, string>;
}

export const createCommand = defineCommand<CreateOptions>({
  name: "create",
  summary: "Create a sandbox and print its id",
  options: [
    ...NEW_SANDBOX_OPTIONS,
    {
      flags: "--timeout <time>",
      description: 'end it after this time without use, such as 10m; 0: never (default: "5m")',
      parse: parseSeconds,
    },
    {
      flags: "--on-timeout <action>",
      description: 'what the end is (default: "destroy")',
      choices: ["destroy", "pause"],
    },
    ENV_OPTION,
    { flags: "--metadata <K=V>", description: "label; repeatable", parse: parseLabel },
  ],
  examples: [["id=$(wrenn sandbox create --timeout 1h)", "a sandbox for an hour"]],
  async run({ connect, config, output, signal }, _args, options) {
    const client = await connect();
    const envs = resolveEnvs(options.env, config.env);
    const sandbox = await client.call("createSandbox", {
      body: {
        ...newSandboxBody(options),
        ...(options.timeout === undefined ? {} : { timeout_sec: options.timeout }),
        ...(options.onTimeout === undefined ? {} : { on_timeout: options.onTimeout }),
        ...(envs === undefined ? {} : { envs }),
        ...(options.metadata === undefined ? {} : { metadata: options.metadata }),
      },
      signal,
    });
    output.result(sandbox, () => sandbox.id);
  },
});

function parseLabel(text: string, before: unknown): Record<string, string> {
  const [, name, value] = /^([^=]+)=(.*)$/s.exec(text) ?? [];
  if (name === undefined || value === undefined) {
    throw new WrennError("invalid_request", `Cannot read ${JSON.stringify(text)} as a label`, {
      hint: "Write name=value",
    });
  }
  return { ...(before as Record<string, string> | undefined), [name]: value };
}
