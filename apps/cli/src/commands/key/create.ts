import type { CreateApiKeyInput, Scope } from "@wrenn/api-schema";
import { defineCommand } from "../../define-command.ts";
import { parseSeconds } from "../../terminal/units.ts";

export const createKeyCommand = defineCommand<{ expires?: number; scopes?: string }>({
  name: "create",
  summary: "Make an API key and print it",
  description: ["Makes an API key and prints it. It cannot be shown again."],
  arguments: [{ syntax: "[name]", description: "what it is for" }],
  options: [
    {
      flags: "--expires <time>",
      description: "end it after this time, such as 90d (default: never)",
      parse: parseSeconds,
    },
    {
      flags: "--scopes <scopes>",
      description: "what it may be used for, separated by commas (default: all but team:write and platform:write)",
    },
  ],
  examples: [["wrenn key create ci --expires 90d --scopes sandboxes:read,sandboxes:write", "a key for one purpose"]],
  async run({ connect, output, signal }, [name], { expires, scopes }) {
    const body: CreateApiKeyInput = {
      ...(name === undefined ? {} : { name }),
      ...(expires === undefined ? {} : { expires_in_sec: expires }),
      ...(scopes === undefined ? {} : { scopes: scopes.split(",") as Scope[] }),
    };
    const key = await (await connect()).call("createApiKey", { body, signal });
    output.result(key, () => key.key);
  },
});
