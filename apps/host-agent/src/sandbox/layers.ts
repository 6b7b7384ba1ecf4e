/**
 * The layers of one sandbox: which one its guest goes on from, how the next one is captured and committed,
 * and what becomes of those that nothing needs any more.
 */
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import { remove } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { DiskBase } from "../disk/disk-store.ts";
import { collectLayers } from "../snapshot/collect-layers.ts";
import { beginLayer, commitLayer, describeMemory } from "../snapshot/commit-layer.ts";
import {
  findLayer,
  guestMemoryOf,
  headerPathOf,
  memoryPathOf,
  openLayer,
  statePathOf,
  type Layer,
} from "../snapshot/layer.ts";
import type { Capture } from "../vmm/vmm.ts";
import type { Entry } from "./entry.ts";
import type { LiveGuest } from "./lifecycle.ts";
import type { Registry } from "./registry.ts";
import type { Stages } from "./stages.ts";

const PAGE_BYTES = 4096;

export const newBuildId = (): string => `layer_${randomUUID().replaceAll("-", "").slice(0, 20)}`;

/** The last layer that was committed of a sandbox; undefined for one that never was. */
export async function lastLayer(registry: Registry, { record }: Entry): Promise<Layer | undefined> {
  if (record.layer === undefined) return undefined;
  return await openLayer(join(registry.options.records.paths(record.id).layers, record.layer));
}

/** What the guest of a running sandbox has in common with its past: its last layer, or its golden snapshot. */
export async function parentLayer(registry: Registry, entry: Entry): Promise<Layer> {
  const last = await lastLayer(registry, entry);
  if (last !== undefined) return last;
  const { goldenKey, id } = entry.record;
  if (goldenKey === undefined) throw new WrennError("internal", `Cannot find what ${id} was started from`);
  return await registry.options.golden.get(goldenKey);
}

/** What was captured of a frozen guest, in a temporary directory and not yet flushed. */
export interface CapturedLayer {
  buildId: string;
  temporary: string;
  parent: Layer;
  capture: Capture;
}

/** Writes the state of a frozen guest; it may be thawed afterwards. `discardCapture` undoes it. */
export async function captureLayer(
  registry: Registry,
  entry: Entry,
  guest: LiveGuest,
  buildId: string,
  stages: Stages,
  signal: AbortSignal,
): Promise<CapturedLayer> {
  const { layers } = registry.options.records.paths(entry.record.id);
  const parent = await parentLayer(registry, entry);
  const temporary = await beginLayer(layers, buildId);
  try {
    const capture = await stages.time(
      "capture",
      () =>
        guest.vm.capture(
          {
            buildId,
            statePath: statePathOf(temporary),
            memoryPath: memoryPathOf(temporary),
            headerPath: headerPathOf(temporary),
            parent: guestMemoryOf(parent),
          },
          signal,
        ),
      ({ stateBytes, layer }) => stateBytes + (layer?.dataBytes ?? 0),
      ({ layer }) =>
        layer && {
          compared: layer.touchedBytes / PAGE_BYTES,
          data: layer.dataBytes / PAGE_BYTES,
          zero: layer.zeroBytes / PAGE_BYTES,
        },
    );
    return { buildId, temporary, parent, capture };
  } catch (error) {
    await remove(temporary, "capture.abandon");
    throw error;
  }
}

export async function discardCapture({ temporary }: Pick<CapturedLayer, "temporary">): Promise<void> {
  await remove(temporary, "capture.abandon");
}

/** Flushes what was captured, with its sealed disk, and commits it by one rename. */
export async function commitCapture(
  registry: Registry,
  entry: Entry,
  captured: CapturedLayer,
  disk: DiskBase,
): Promise<Layer> {
  const { buildId, temporary, parent, capture } = captured;
  const { layers } = registry.options.records.paths(entry.record.id);
  if (capture.layer === undefined)
    throw new WrennError("internal", `Cannot commit ${buildId}: its VM has no memory image of its own`);
  const { shape } = parent.meta;
  const { guest, record } = entry;
  const describing = describeMemory(temporary, join(layers, buildId), capture.layer, guestMemoryOf(parent));
  describing.catch(() => undefined); // told when nobody writes into the directory any more
  if (guest !== undefined) await registry.workingSets.save(guest.vm, record, parent, temporary);
  const memory = await describing;
  const build = record.vm?.build;
  const { compatibility: present } = registry.options.golden;
  const compatibility = build === undefined ? present : { ...present, vmm: build };
  return await commitLayer({ temporary, parent: layers, buildId, shape, compatibility, memory, disk });
}

/** A layer whose commit was reached is the last one, after a crash too, though the record does not say so yet. */
export async function settlePendingLayer(registry: Registry, { record, guest }: Entry): Promise<void> {
  const { pendingLayer } = record;
  if (pendingLayer === undefined) return;
  const { layers } = registry.options.records.paths(record.id);
  const committed = await findLayer(join(layers, pendingLayer));
  if (committed !== undefined) {
    record.layer = pendingLayer;
    await registry.options.disks.lock(committed.meta.disk);
    await guest?.vm.captureCommitted();
  }
  record.pendingLayer = undefined;
}

/**
 * Removes what neither the sandbox's last layer, nor its running VM, nor anybody else needs. Never fails: what
 * is left now is found the next time.
 */
export async function collect(registry: Registry, entry: Entry): Promise<void> {
  const { log } = registry.options;
  const { id } = entry.record;
  try {
    const removed = await collectUnneeded(registry, entry);
    if (removed.length > 0) log.debug({ operation: "collect", id, removed });
  } catch (error) {
    log.warn({ operation: "collect", id, err: error });
  }
}

async function collectUnneeded(registry: Registry, entry: Entry): Promise<string[]> {
  const { records, retention } = registry.options;
  const { record } = entry;
  const { layers, disks } = records.paths(record.id);
  const last = await lastLayer(registry, entry);
  const { vm, disk, nextDisk, pendingLayer } = record;
  const inUse = new Set([
    ...(await retention.neededByOthers("sandboxes", record.id)),
    ...(vm === undefined ? [] : [vm.memoryPath]),
    ...(vm?.statePath === undefined ? [] : [vm.statePath]),
    ...[disk, nextDisk].flatMap((used) => (used === undefined ? [] : [used.path, ...used.backingPaths])),
    ...(pendingLayer === undefined ? [] : [join(layers, pendingLayer), join(layers, `tmp.${pendingLayer}`)]),
  ]);
  return await collectLayers({ layers, disks, keep: last === undefined ? [] : [last], inUse });
}
