import type { CommandGroup } from "../../define-command.ts";
import { createTemplateCommand } from "./create.ts";
import { listTemplatesCommand } from "./list.ts";
import { rmTemplateCommand } from "./rm.ts";

export const templateGroup: CommandGroup = {
  name: "template",
  summary: "What sandboxes are made from",
  commands: [createTemplateCommand, listTemplatesCommand, rmTemplateCommand],
};
