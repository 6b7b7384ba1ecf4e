import type { CommandGroup } from "../../define-command.ts";
import { createTemplateCommand } from "./create.ts";
import { listTemplatesCommand } from "./list.ts";
import { rmTemplateCommand } from "./rm.ts";

export const templateGroup: CommandGroup = {
  name: "template",
  summary: "What sandboxes are made from",
  examples: [
    ["wrenn template list", "what there is"],
    ["wrenn template create web $id", "make one of a sandbox"],
    ["wrenn run -T web -- curl -s localhost", "a new sandbox from it"],
  ],
  commands: [createTemplateCommand, listTemplatesCommand, rmTemplateCommand],
};
