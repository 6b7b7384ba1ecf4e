import type { CommandGroup } from "../../define-command.ts";
import { connectCommand } from "./connect.ts";
import { cpCommand } from "./cp.ts";
import { createCommand } from "./create.ts";
import { execCommand } from "./exec.ts";
import { forkCommand } from "./fork.ts";
import { getCommand } from "./get.ts";
import { listCommand } from "./list.ts";
import { logsCommand } from "./logs.ts";
import { operationsCommand } from "./operations.ts";
import { pauseCommand, resumeCommand } from "./pause-resume.ts";
import { psCommand } from "./ps.ts";
import { rmCommand } from "./rm.ts";
import { snapshotCommand } from "../template/create.ts";

export const sandboxGroup: CommandGroup = {
  name: "sandbox",
  summary: "Create and use sandboxes that stay",
  examples: [
    ["id=$(wrenn sandbox create --timeout 1h)", "a sandbox for an hour"],
    ["wrenn sandbox exec $id -- python3 --version", "run something in it"],
    ["wrenn sandbox pause $id && wrenn sandbox resume $id", "to disk, and back"],
    ["wrenn sandbox rm $id", "end it"],
  ],
  commands: [
    createCommand,
    listCommand,
    getCommand,
    execCommand,
    connectCommand,
    psCommand,
    cpCommand,
    pauseCommand,
    resumeCommand,
    forkCommand,
    snapshotCommand,
    logsCommand,
    operationsCommand,
    rmCommand,
  ],
};
