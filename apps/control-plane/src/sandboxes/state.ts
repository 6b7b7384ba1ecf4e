/**
 * The states of a sandbox and every change between them. A change is always a compare-and-set in
 * PostgreSQL (`sandbox-store.ts`): of two that start from the same state one wins.
 */

/** What the control plane holds a sandbox to be. */
export type SandboxState =
  /** The row is written, the host is asked to make the VM. */
  | "creating"
  /** The guest can be used. */
  | "running"
  /** The host is asked to write memory and disk to a layer. */
  | "pausing"
  /** A layer is committed, there is no VM. */
  | "paused"
  /** The host is asked to start it again, under the next incarnation. */
  | "resuming"
  /** Somebody asked for its end; nothing overtakes that. */
  | "destroying"
  /** Nothing is left of it. The last state. */
  | "gone"
  /** The VM is gone, `reason` says why; a committed layer can be resumed, if `resumable`. */
  | "failed";

/** From each state the states that may follow. */
export const TRANSITIONS: Readonly<Record<SandboxState, readonly SandboxState[]>> = {
  // `paused` when its idle timeout ended before its creator came to record that it runs
  creating: ["running", "paused", "failed", "destroying", "gone"],
  // `paused` and `gone` by the host itself, at a deadline
  running: ["pausing", "paused", "failed", "destroying", "gone"],
  // `running` when the pause failed: the guest was thawed
  pausing: ["paused", "running", "failed", "destroying", "gone"],
  // `running` when a resume that was given up had succeeded on the host after all
  paused: ["resuming", "running", "failed", "destroying", "gone"],
  // `paused` when the resume failed, or when the sandbox ran and was paused by the host again
  resuming: ["running", "paused", "failed", "destroying", "gone"],
  failed: ["resuming", "destroying", "gone"],
  destroying: ["gone"],
  gone: [],
};

/** Every state. */
export const SANDBOX_STATES = Object.keys(TRANSITIONS) as SandboxState[];

/** States in which an operation of the control plane is under way. */
export type TransitionalState = "creating" | "pausing" | "resuming" | "destroying";

/** True while an operation is under way that will change the state by itself. */
export function isTransitional(state: SandboxState): state is TransitionalState {
  return state === "creating" || state === "pausing" || state === "resuming" || state === "destroying";
}

/** The states from which `to` may follow. */
export function sourcesOf(to: SandboxState): SandboxState[] {
  return SANDBOX_STATES.filter((from) => TRANSITIONS[from].includes(to));
}
