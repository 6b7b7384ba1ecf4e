/** Every command, in the order in which help lists them. */
import type { CommandSection } from "../define-command.ts";
import { completionCommand } from "./completion.ts";
import { debugGroup } from "./debug/index.ts";
import { doctorCommand } from "./doctor.ts";
import { downCommand } from "./down.ts";
import { envCommand } from "./env.ts";
import { eventsCommand } from "./events.ts";
import { keyGroup } from "./key/index.ts";
import { loginCommand } from "./login.ts";
import { logoutCommand } from "./logout.ts";
import { logsCommand } from "./logs.ts";
import { runCommand } from "./run.ts";
import { sandboxGroup } from "./sandbox/index.ts";
import { snapshotGroup } from "./snapshot/index.ts";
import { statusCommand } from "./status.ts";
import { teamGroup } from "./team/index.ts";
import { templateGroup } from "./template/index.ts";
import { testCommand } from "./test.ts";
import { testbedCommand } from "./testbed.ts";
import { upCommand } from "./up.ts";

export const SECTIONS: readonly CommandSection[] = [
  { title: "Sandboxes", commands: [runCommand, sandboxGroup, templateGroup, snapshotGroup, eventsCommand] },
  {
    title: "The platform on this machine",
    commands: [upCommand, downCommand, statusCommand, logsCommand, doctorCommand, debugGroup],
  },
  { title: "People and keys", commands: [loginCommand, logoutCommand, teamGroup, keyGroup] },
  { title: "Shells and scripts", commands: [envCommand, completionCommand] },
  { title: "Development of Wrenn", commands: [testCommand, testbedCommand] },
];

export const COMMANDS = SECTIONS.flatMap(({ commands }) => commands);
