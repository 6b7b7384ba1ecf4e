import type { CommandGroup } from "../../define-command.ts";
import { bundleCommand } from "./bundle.ts";

export const debugGroup: CommandGroup = {
  name: "debug",
  summary: "Find out what is wrong",
  examples: [["wrenn debug bundle $id", "everything about one sandbox in a file, without secrets"]],
  commands: [bundleCommand],
};
