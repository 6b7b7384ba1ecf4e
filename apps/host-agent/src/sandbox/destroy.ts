/** destroy: everything of a sandbox, in any state. Idempotent; a crash in between is finished by the next start. */
import { WrennError } from "@wrenn/errors";
import { assertIncarnation } from "./entry.ts";
import type { Registry } from "./registry.ts";
import { Stages, type Stage } from "./stages.ts";

/**
 * Destroys a sandbox in any state; ends the operation that is under way. An unknown one is success: repeating it tries
 * again to remove files that could not be.
 */
export async function destroy(
  registry: Registry,
  id: string,
  incarnation: number,
  reason = "destroyed on request",
): Promise<Stage[]> {
  const entry = registry.find(id);
  if (entry === undefined) {
    await registry.options.retention.collect();
    return [];
  }
  if (incarnation !== 0) assertIncarnation(entry, incarnation);
  entry.abandon.abort(new WrennError("conflict", `The sandbox ${id} is being destroyed`));
  return await registry.locked(id, async () => {
    if (registry.find(id) !== entry) return [];
    const stages = new Stages();
    await registry.settle(entry, "destroying", reason); // a full disk must not keep it
    await stages.time("tear-down", () => registry.discard(entry));
    registry.logOperation("destroy", entry.record, stages);
    return stages.list;
  });
}
