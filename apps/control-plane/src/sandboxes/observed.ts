/** A sandbox as its host sees it, in the control plane's own words. */
import { timestampDate } from "@bufbuild/protobuf/wkt";
import type { SandboxHealth } from "@wrenn/api-schema";
import { hostagent } from "@wrenn/protocol";
import type { SandboxState } from "./state.ts";

export interface ObservedSandbox {
  id: string;
  incarnation: number;
  state: SandboxState;
  reason: string | undefined;
  resumable: boolean;
  health: SandboxHealth;
  idleTimeoutSec: number;
  /** Unix milliseconds; undefined when it has no end. */
  endAtMs: number | undefined;
  /** RFC 3339, or undefined when the host does not say. */
  lastActiveAt: string | undefined;
  /** Allocated bytes of its layers; undefined when the host does not say. */
  storedBytes: number | undefined;
}

const STATES: Readonly<Record<hostagent.SandboxState, SandboxState | undefined>> = {
  [hostagent.SandboxState.UNSPECIFIED]: undefined,
  [hostagent.SandboxState.CREATING]: "creating",
  [hostagent.SandboxState.RUNNING]: "running",
  [hostagent.SandboxState.PAUSING]: "pausing",
  [hostagent.SandboxState.PAUSED]: "paused",
  [hostagent.SandboxState.RESUMING]: "resuming",
  [hostagent.SandboxState.DESTROYING]: "destroying",
  [hostagent.SandboxState.FAILED]: "failed",
  [hostagent.SandboxState.GONE]: "gone",
};

const HEALTH: Readonly<Record<hostagent.Health, SandboxHealth>> = {
  [hostagent.Health.UNSPECIFIED]: "responsive",
  [hostagent.Health.RESPONSIVE]: "responsive",
  [hostagent.Health.BUSY]: "busy",
  [hostagent.Health.UNRESPONSIVE]: "unresponsive",
};

/** Undefined for a state that this release does not know. */
export function observe(sandbox: hostagent.Sandbox): ObservedSandbox | undefined {
  const state = STATES[sandbox.state];
  if (state === undefined) return undefined;
  const { deadline } = sandbox;
  return {
    id: sandbox.id,
    incarnation: Number(sandbox.incarnation),
    state,
    reason: sandbox.reason === "" ? undefined : sandbox.reason,
    resumable: sandbox.resumable,
    health: HEALTH[sandbox.health],
    idleTimeoutSec: deadline?.idleTimeoutSec ?? 0,
    endAtMs: deadline?.endAt === undefined ? undefined : timestampDate(deadline.endAt).getTime(),
    lastActiveAt: sandbox.lastActiveAt === undefined ? undefined : timestampDate(sandbox.lastActiveAt).toISOString(),
    storedBytes: sandbox.storedBytes === undefined ? undefined : Number(sandbox.storedBytes),
  };
}
