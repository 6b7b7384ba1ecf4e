/** resume: a guest from the last committed layer, under the next incarnation. A failure leaves it paused. */
import { join } from "node:path";
import { WrennError } from "@wrenn/errors";
import { checkCompatibility, openLayer } from "../snapshot/layer.ts";
import { START_DEADLINE_MS } from "./create.ts";
import { abandoned, staleIncarnation, touch, viewOf, type Entry, type OperationResult } from "./entry.ts";
import { followExit } from "./exits.ts";
import { collect } from "./layers.ts";
import type { Deadline } from "./record.ts";
import type { Registry } from "./registry.ts";
import { Stages } from "./stages.ts";

/** Starts a paused (or failed, but resumable) sandbox again, under its next incarnation. */
export async function resume(
  registry: Registry,
  id: string,
  incarnation: number,
  deadline: Deadline | undefined,
): Promise<OperationResult> {
  const entry = registry.entry(id);
  return await registry.locked(id, async () => {
    const { record } = entry;
    if (record.state === "running" && record.incarnation === incarnation) return { sandbox: viewOf(entry), stages: [] };
    if ((record.state !== "paused" && record.state !== "failed") || record.layer === undefined) {
      throw new WrennError("invalid_state", `Cannot resume ${id}: it is ${record.state}`, {
        hint: "Only a paused sandbox can be resumed",
      });
    }
    if (incarnation <= record.incarnation) throw staleIncarnation(record, incarnation);
    const stages = new Stages();
    try {
      await start(registry, entry, record.layer, incarnation, deadline, stages);
    } catch (error) {
      registry.logOperation("resume", record, stages, error);
      throw abandoned(entry, error);
    }
    registry.logOperation("resume", record, stages);
    return { sandbox: viewOf(entry), stages: stages.list };
  });
}

async function start(
  registry: Registry,
  entry: Entry,
  layerId: string,
  incarnation: number,
  deadline: Deadline | undefined,
  stages: Stages,
): Promise<void> {
  const { record } = entry;
  const { lifecycle, options } = registry;
  const layer = await openLayer(join(options.records.paths(record.id).layers, layerId));
  checkCompatibility(layer, options.golden.compatibility);
  await registry.assertRoom(entry);
  const signal = AbortSignal.any([entry.abandon.signal, AbortSignal.timeout(START_DEADLINE_MS)]);
  record.incarnation = incarnation;
  if (deadline !== undefined) record.deadline = deadline;
  await registry.enter(entry, "resuming");
  try {
    if (record.slotIndex !== undefined) await lifecycle.tearDown(record, undefined); // it failed, and so did that
    entry.guest = await lifecycle.start(record, layer, stages, signal);
    touch(entry);
    await registry.enter(entry, "running");
    followExit(registry, entry, entry.guest);
  } catch (error) {
    entry.guest = undefined;
    await lifecycle.tearDown(record, undefined);
    await collect(registry, entry);
    await registry.enter(entry, "paused", `resume failed: ${WrennError.from(error).message}`);
    throw error;
  }
}
