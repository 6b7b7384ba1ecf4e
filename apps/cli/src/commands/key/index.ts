import type { CommandGroup } from "../../define-command.ts";
import { createKeyCommand } from "./create.ts";
import { listKeysCommand } from "./list.ts";
import { rmKeysCommand } from "./rm.ts";

export const keyGroup: CommandGroup = {
  name: "key",
  summary: "Make and delete the team's API keys",
  examples: [
    ["wrenn key create ci --expires 90d", "a key for a program"],
    ["wrenn key list", "which there are, and when each was used last"],
    ["wrenn key rm $id", "end one"],
  ],
  commands: [createKeyCommand, listKeysCommand, rmKeysCommand],
};
