import type { CommandGroup } from "../../define-command.ts";
import { bundleCommand } from "./bundle.ts";

export const debugGroup: CommandGroup = {
  name: "debug",
  summary: "Find out what is wrong",
  commands: [bundleCommand],
};
