/**
 * pause: memory and disk into a layer, then the VM's end. Any failure before the layer is committed thaws
 * the guest and changes nothing; after the commit nothing can lose it.
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { WrennError } from "@wrenn/errors";
import { openLayer } from "../snapshot/layer.ts";
import { abandoned, assertIncarnation, assertRunning, viewOf, type Entry, type OperationResult } from "./entry.ts";
import type { LiveGuest } from "./lifecycle.ts";
import type { Registry } from "./registry.ts";
import { Stages } from "./stages.ts";

const PAUSE_DEADLINE_MS = 600_000;
const THAW_DEADLINE_MS = 10_000;

/** Writes memory and disk to a layer and ends the VM; settles when both are durable. */
export async function pause(registry: Registry, id: string, incarnation: number): Promise<OperationResult> {
  const entry = registry.entry(id);
  return await registry.locked(id, async () => {
    assertIncarnation(entry, incarnation);
    if (entry.record.state === "paused") return { sandbox: viewOf(entry), stages: [] };
    const guest = assertRunning(entry);
    const stages = new Stages();
    try {
      await commit(registry, entry, guest, stages);
    } catch (error) {
      registry.logOperation("pause", entry.record, stages, error);
      throw abandoned(entry, error);
    }
    registry.logOperation("pause", entry.record, stages);
    return { sandbox: viewOf(entry), stages: stages.list };
  });
}

async function commit(registry: Registry, entry: Entry, guest: LiveGuest, stages: Stages): Promise<void> {
  const { record } = entry;
  const { golden } = registry.options;
  if (record.goldenKey === undefined)
    throw new WrennError("internal", `Cannot pause ${record.id}: its base is unknown`);
  const base = await golden.get(record.goldenKey);
  const signal = AbortSignal.any([entry.abandon.signal, AbortSignal.timeout(PAUSE_DEADLINE_MS)]);
  const buildId = `layer_${randomUUID().replaceAll("-", "").slice(0, 20)}`;
  record.pendingLayer = buildId;
  await registry.enter(entry, "pausing");
  try {
    // Most of the flushing happens while the guest still runs.
    await stages.time("pre-flush", () => guest.vm.flushDisk(signal));
    await stages.time("freeze", () => guest.vm.pause(signal));
    await registry.lifecycle.commit(record, guest, base, buildId, golden.compatibility, stages, signal);
  } catch (error) {
    await thaw(registry, entry, guest);
    throw error;
  }
  entry.guest = undefined;
  await finishPause(registry, entry, guest, buildId);
}

/** After the commit: nothing can lose the layer any more. */
export async function finishPause(
  registry: Registry,
  entry: Entry,
  guest: LiveGuest | undefined,
  buildId: string,
): Promise<void> {
  const { record } = entry;
  const { records, disks } = registry.options;
  const layer = await openLayer(join(records.paths(record.id).layers, buildId));
  await registry.lifecycle.tearDown(record, guest);
  await disks.lock(layer.meta.disk);
  record.layer = buildId;
  record.pendingLayer = undefined;
  await registry.enter(entry, "paused");
}

/** Lets a guest that was frozen for a pause run on. */
export async function thaw(registry: Registry, entry: Entry, guest: LiveGuest): Promise<void> {
  entry.record.pendingLayer = undefined;
  await guest.vm.resume(AbortSignal.timeout(THAW_DEADLINE_MS));
  await registry.enter(entry, "running");
}
