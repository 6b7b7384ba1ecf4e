/**
 * A live checkpoint: a layer of a running guest, which goes on. It is frozen only while its devices, its
 * changed pages, and the switch of its disk to a new overlay (or the copy of its disk, by the store) take; what
 * was captured is flushed and committed behind it. A failure leaves it running, with every earlier layer.
 */
import { randomUUID } from "node:crypto";
import { dirname } from "node:path";
import { WrennError } from "@wrenn/errors";
import type { Disk, DiskBase } from "../disk/disk-store.ts";
import type { Layer } from "../snapshot/layer.ts";
import { abandoned, assertIncarnation, assertRunning, type Entry } from "./entry.ts";
import {
  captureLayer,
  collect,
  commitCapture,
  discardCapture,
  lastLayer,
  newBuildId,
  settlePendingLayer,
  type CapturedLayer,
} from "./layers.ts";
import type { LiveGuest } from "./lifecycle.ts";
import type { Registry } from "./registry.ts";
import { rewriteWhenDue } from "./rewrite.ts";
import { endShortening, shortenDiskWhenDue } from "./shorten-disk.ts";
import { Stages, type Stage } from "./stages.ts";

const CHECKPOINT_DEADLINE_MS = 600_000;
const THAW_DEADLINE_MS = 10_000;

/** A layer that is not collected until it is disposed. */
export interface HeldLayer extends Disposable {
  layer: Layer;
  stages: Stage[];
}

/**
 * The present state of a sandbox as a layer: of a running one by a live checkpoint, of a paused one its last
 * layer. The sandbox goes on, and may be paused, resumed and collapsed while the layer is held; destroying it
 * takes the layer along. Whoever wants to keep it flattens it into a place of its own (`flattenLayer`).
 * @throws WrennError `not_found`, `stale_incarnation`, `invalid_state`
 */
export async function holdPresentLayer(registry: Registry, id: string, incarnation: number): Promise<HeldLayer> {
  const entry = registry.entry(id);
  return await registry.locked(id, async () => {
    assertIncarnation(entry, incarnation);
    const stages = new Stages();
    try {
      const paused = entry.record.state === "paused" ? await lastLayer(registry, entry) : undefined;
      const layer = paused ?? (await checkpoint(registry, entry, stages));
      const lease = registry.options.leases.hold(layer);
      if (paused === undefined) registry.logOperation("checkpoint", entry.record, stages);
      return { layer, stages: stages.list, [Symbol.dispose]: () => lease[Symbol.dispose]() };
    } catch (error) {
      registry.logOperation("checkpoint", entry.record, stages, error);
      throw abandoned(entry, error);
    }
  });
}

/**
 * Makes the present state of a running sandbox its last layer. Whoever calls holds the sandbox's lock; to
 * go on using the layer without it, take a lease first.
 * @throws WrennError `invalid_state` unless it runs
 */
export async function checkpoint(registry: Registry, entry: Entry, stages: Stages): Promise<Layer> {
  const { record } = entry;
  const guest = assertRunning(entry);
  await endShortening(entry);
  const written = record.disk;
  if (written === undefined) throw new WrennError("internal", `Cannot checkpoint ${record.id}: it has no disk`);
  const signal = AbortSignal.any([entry.abandon.signal, AbortSignal.timeout(CHECKPOINT_DEADLINE_MS)]);
  const buildId = newBuildId();
  await stages.time("pre-flush", () => guest.vm.flushDisk(signal));
  const next =
    registry.options.disks.sealCopy === undefined
      ? await registry.lifecycle.createOverlay(record, written, guest.slot.uid, signal, dirname(written.path))
      : undefined;
  record.pendingLayer = buildId;
  record.nextDisk = next;
  try {
    await registry.enter(entry, "running");
    const frozen = await freeze(registry, entry, guest, { buildId, written, next }, stages, signal);
    const layer = await commit(registry, entry, frozen, stages, signal);
    await collect(registry, entry);
    rewriteWhenDue(registry, entry);
    shortenDiskWhenDue(registry, entry);
    return layer;
  } catch (error) {
    record.pendingLayer = undefined;
    record.nextDisk = undefined;
    await registry.settle(entry, "running");
    await collect(registry, entry);
    throw error;
  }
}

/** What a guest was when it stood still. */
interface Frozen {
  captured: CapturedLayer;
  /** Its disk, still to be sealed unless it is a copy. */
  disk: { written: Disk } | { copy: DiskBase };
}

/**
 * The guest stands still only in here. `next` is the disk that it writes from then on; without one, `written`
 * is copied.
 */
async function freeze(
  registry: Registry,
  entry: Entry,
  guest: LiveGuest,
  { buildId, written, next }: { buildId: string; written: Disk; next: Disk | undefined },
  stages: Stages,
  signal: AbortSignal,
): Promise<Frozen> {
  const { record } = entry;
  let captured: CapturedLayer | undefined;
  try {
    await stages.time("freeze", () => guest.vm.pause(signal));
    captured = await captureLayer(registry, entry, guest, buildId, stages, signal);
    if (next === undefined) return { captured, disk: { copy: await copyDisk(registry, written, stages, signal) } };
    await stages.time("switch-disk", () => guest.vm.switchDisk(next, signal));
    record.disk = next;
    record.nextDisk = undefined;
    record.vm = guest.vm.record;
    return { captured, disk: { written } };
  } catch (error) {
    if (captured !== undefined) await discardCapture(captured);
    throw error;
  } finally {
    await stages.time("thaw", () => guest.vm.resume(AbortSignal.timeout(THAW_DEADLINE_MS)));
  }
}

async function copyDisk(registry: Registry, disk: Disk, stages: Stages, signal: AbortSignal): Promise<DiskBase> {
  const { disks } = registry.options;
  const target = { id: `sealed-${randomUUID().slice(0, 8)}`, directory: dirname(disk.path) };
  const copy = await stages.time("copy-disk", async () => await disks.sealCopy?.(disk, target, signal));
  if (copy === undefined) throw new WrennError("internal", `Cannot copy the disk ${disk.id}: its store cannot do that`);
  return copy;
}

async function commit(
  registry: Registry,
  entry: Entry,
  { captured, disk }: Frozen,
  stages: Stages,
  signal: AbortSignal,
): Promise<Layer> {
  const { disks } = registry.options;
  // The record knows the new disk before anything builds on the old one.
  await registry.enter(entry, "running");
  try {
    const base = "copy" in disk ? disk.copy : await stages.time("seal", () => disks.seal(disk.written, signal));
    await disks.lock(base);
    const layer = await stages.time("publish", () => commitCapture(registry, entry, captured, base));
    await settlePendingLayer(registry, entry);
    await registry.enter(entry, "running");
    return layer;
  } catch (error) {
    await discardCapture(captured);
    throw error;
  }
}
