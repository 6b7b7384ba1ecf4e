/** What is said of an operation that the sandbox's state does not allow. */
import { WrennError } from "@wrenn/errors";
import type { SandboxRow } from "../database/tables.ts";
import type { SandboxState } from "./state.ts";

/** @param verb such as `pause` */
export function wrongState(verb: string, { id, state, reason }: SandboxRow): WrennError {
  return new WrennError(
    "invalid_state",
    `Cannot ${verb} sandbox ${id}: it is ${state}${reason === null ? "" : ` (${reason})`}`,
    {
      hint: DONE[verb] === state ? `It is ${state} already` : HINTS[state],
    },
  );
}

/** The state that an operation leads to. */
const DONE: Readonly<Record<string, SandboxState>> = { pause: "paused", resume: "running" };

const HINTS: Readonly<Record<SandboxState, string>> = {
  creating: "Wait until it runs",
  running: "Pause it first",
  pausing: "Wait until it is paused",
  paused: "Resume it first",
  resuming: "Wait until it runs",
  destroying: "Create another one",
  gone: "Create another one",
  failed: "Resume it when a layer was committed, or destroy it",
};
