/**
 * resume: a guest from the last committed layer, under the next incarnation: with its memory, or booted from
 * its disk. A failure leaves it paused, and as it was.
 */
import { join } from "node:path";
import { WrennError } from "@wrenn/errors";
import { checkCompatibility, openLayer } from "../snapshot/layer.ts";
import { bootFromDisk } from "./cold-boot.ts";
import { START_DEADLINE_MS } from "./create.ts";
import { abandoned, staleIncarnation, viewOf, type Entry, type OperationResult } from "./entry.ts";
import { followExit } from "./exits.ts";
import { collect } from "./layers.ts";
import type { Deadline } from "./record.ts";
import type { Registry } from "./registry.ts";
import { waitUntilJoined } from "./rewrite.ts";
import { Stages } from "./stages.ts";

export interface ResumeOptions {
  /** False: the sandbox boots from its disk, also when its memory was kept. */
  memory?: boolean;
}

/** Starts a paused (or failed, but resumable) sandbox again, under its next incarnation. */
export async function resume(
  registry: Registry,
  id: string,
  incarnation: number,
  deadline: Deadline | undefined,
  options: ResumeOptions = {},
): Promise<OperationResult> {
  const entry = registry.entry(id);
  await waitUntilJoined(registry, entry);
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
      await start(registry, entry, record.layer, { incarnation, deadline, ...options }, stages);
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
  { incarnation, deadline, memory = true }: ResumeOptions & { incarnation: number; deadline: Deadline | undefined },
  stages: Stages,
): Promise<void> {
  const { record } = entry;
  const { lifecycle, options } = registry;
  const layer = await openLayer(join(options.records.paths(record.id).layers, layerId));
  const cold = !memory || layer.meta.memory === undefined;
  if (!cold) checkCompatibility(layer, options.golden);
  await registry.assertRoom(entry);
  const signal = AbortSignal.any([entry.abandon.signal, AbortSignal.timeout(START_DEADLINE_MS)]);
  const before = { incarnation: record.incarnation, deadline: record.deadline };
  Object.assign(record, { incarnation, deadline: deadline ?? record.deadline });
  try {
    await registry.enter(entry, "resuming");
  } catch (error) {
    Object.assign(record, before);
    throw error;
  }
  try {
    if (record.slotIndex !== undefined) await lifecycle.tearDown(record, undefined); // it failed, and so did that
    const from = cold ? await stages.time("boot", () => bootFromDisk(registry, entry, layer, signal)) : layer;
    record.layer = from.meta.buildId;
    const started = await lifecycle.start(record, from, stages, signal);
    await registry.serve(entry, started);
    followExit(registry, entry, started.guest);
  } catch (error) {
    entry.guest = undefined;
    record.layer = layerId;
    await lifecycle.tearDown(record, undefined);
    await collect(registry, entry);
    await registry.settle(entry, "paused", `resume failed: ${WrennError.from(error).publicMessage}`);
    throw error;
  }
}
