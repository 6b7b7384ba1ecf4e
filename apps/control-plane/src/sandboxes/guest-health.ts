/**
 * Whether running guests answer, as their host tells it when it changes: a request for a sandbox needs no call of the
 * host for it.
 */
import { hostagent } from "@wrenn/protocol";
import type { Sandbox } from "@wrenn/api-schema";
import type { SandboxRow } from "../database/tables.ts";

const HEALTH = {
  [hostagent.Health.UNSPECIFIED]: undefined,
  [hostagent.Health.RESPONSIVE]: "responsive",
  [hostagent.Health.BUSY]: "busy",
  [hostagent.Health.UNRESPONSIVE]: "unresponsive",
} as const;

export class GuestHealth {
  readonly #told = new Map<string, hostagent.Sandbox>();

  /** Everything that the host has; what it said before is forgotten. */
  replace(sandboxes: readonly hostagent.Sandbox[]): void {
    this.#told.clear();
    for (const sandbox of sandboxes) this.note(sandbox);
  }

  /** A change of one sandbox. */
  note(sandbox: hostagent.Sandbox): void {
    if (HEALTH[sandbox.health] === undefined) this.#told.delete(sandbox.id);
    else this.#told.set(sandbox.id, sandbox);
  }

  /** Undefined for what does not run, and for what its host has not told of. */
  of({ id, incarnation, state }: SandboxRow): Sandbox["health"] {
    const told = this.#told.get(id);
    if (told === undefined || state !== "running" || told.incarnation !== BigInt(incarnation)) return undefined;
    return HEALTH[told.health];
  }
}
