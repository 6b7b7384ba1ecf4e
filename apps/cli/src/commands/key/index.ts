import type { CommandGroup } from "../../define-command.ts";
import { createKeyCommand } from "./create.ts";
import { listKeysCommand } from "./list.ts";
import { rmKeysCommand } from "./rm.ts";

export const keyGroup: CommandGroup = {
  name: "key",
  summary: "Make and delete the team's API keys",
  commands: [createKeyCommand, listKeysCommand, rmKeysCommand],
};
