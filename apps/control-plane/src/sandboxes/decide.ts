/**
 * What is to be done about a row and what its host says of the same sandbox. Pure, so that it can be
 * tested against a model of the world.
 *
 * The row is always read before the host is asked. A host that confirms an operation is believed at
 * once. A host that contradicts the row is believed only when the row is old: then the call that the
 * row announces either never comes or is refused for its age. Should it come all the same, the
 * compare-and-set of its caller fails, and the caller decides again from what the host then says.
 */
import type { SandboxRow } from "../database/tables.ts";
import type { ObservedSandbox } from "./observed.ts";
import { isTransitional, TRANSITIONS, type SandboxState } from "./state.ts";

export type Decision =
  | { do: "nothing" }
  /** Change the row. */
  | { do: "record"; state: SandboxState; incarnation: number; reason: string | undefined; resumable: boolean }
  /** Destroy what the host has; the row stays as it is. */
  | { do: "destroy" }
  /** Destroy what the host has, if anything; then the row is gone. */
  | { do: "finish-destroy" }
  /** Tell the host the deadlines of the row. */
  | { do: "send-deadline" };

export type DecidableRow = Pick<
  SandboxRow,
  "state" | "incarnation" | "reason" | "started_at" | "idle_timeout_sec" | "end_at"
>;

/** Deadlines cross the wire with less than this lost. */
const DEADLINE_TOLERANCE_MS = 1_000;
const NOTHING: Decision = { do: "nothing" };

/**
 * @param observed what the host has; undefined when it has no such sandbox.
 * @param ageMs time since the row last changed; Infinity when the caller knows that no operation is
 *   under way.
 * @param settledAgeMs from this age on a row that is in the middle of an operation may be contradicted.
 *   The host takes up a call within milliseconds and from then on says itself that it is at work.
 */
export function decide(
  row: DecidableRow,
  observed: ObservedSandbox | undefined,
  ageMs: number,
  settledAgeMs: number,
): Decision {
  const settled = ageMs >= settledAgeMs;
  const there = observed !== undefined && observed.state !== "gone";
  if (row.state === "gone") return there ? { do: "destroy" } : NOTHING;
  if (row.state === "destroying") return settled ? { do: "finish-destroy" } : NOTHING;
  if (row.state === "failed" && row.started_at === null) return decideFailedCreate(row, there, settled);
  if (!there) return decideMissing(row, settled);
  if (isTransitional(observed.state)) return NOTHING; // the host is at work itself and will say how it ended
  if (observed.state === row.state && observed.incarnation === row.incarnation) {
    return row.state === "running" && deadlineDiffers(row, observed) ? { do: "send-deadline" } : NOTHING;
  }
  return settled || confirms(row, observed) ? record(row, observed) : NOTHING;
}

/** Nobody was given this sandbox: whatever the host made of it goes, then the row. */
function decideFailedCreate(row: DecidableRow, there: boolean, settled: boolean): Decision {
  if (!settled) return NOTHING; // its creator is cleaning up
  if (there) return { do: "destroy" };
  return {
    do: "record",
    state: "gone",
    incarnation: row.incarnation,
    reason: row.reason ?? undefined,
    resumable: false,
  };
}

function decideMissing(row: DecidableRow, settled: boolean): Decision {
  if (row.state === "failed") return NOTHING; // it tells why until it is destroyed
  if (isTransitional(row.state) && !settled) return NOTHING;
  const { incarnation } = row;
  if (row.state === "creating") {
    return { do: "record", state: "failed", incarnation, reason: "its creation was interrupted", resumable: false };
  }
  return { do: "record", state: "gone", incarnation, reason: "the host has it no more", resumable: false };
}

/** True when what the host says is an outcome of the operation that the row is in, or came after it. */
function confirms(row: DecidableRow, observed: ObservedSandbox): boolean {
  if (observed.incarnation !== row.incarnation) return observed.incarnation > row.incarnation;
  switch (row.state) {
    case "creating":
    case "resuming":
    case "running":
      return true;
    default:
      // a `running` host contradicts `pausing` and `paused`: it may have been asked just before
      return observed.state !== "running";
  }
}

function record(row: DecidableRow, { state, incarnation, reason, resumable }: ObservedSandbox): Decision {
  if (state !== row.state && !TRANSITIONS[row.state].includes(state)) return NOTHING;
  return { do: "record", state, incarnation, reason, resumable };
}

function deadlineDiffers(row: DecidableRow, observed: ObservedSandbox): boolean {
  if (row.idle_timeout_sec !== observed.idleTimeoutSec) return true;
  const endAtMs = row.end_at === null ? undefined : Date.parse(row.end_at);
  if (endAtMs === undefined || observed.endAtMs === undefined) return endAtMs !== observed.endAtMs;
  return Math.abs(endAtMs - observed.endAtMs) > DEADLINE_TOLERANCE_MS;
}
