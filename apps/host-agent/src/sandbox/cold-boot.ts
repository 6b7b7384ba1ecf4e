/** A sandbox that boots anew from the disk of its last layer: what was in memory is not asked for, or cannot be loaded. */
import { chown, mkdir } from "node:fs/promises";
import type { Layer } from "../snapshot/layer.ts";
import { bootLayer } from "./boot-layer.ts";
import type { Entry } from "./entry.ts";
import { newBuildId } from "./layers.ts";
import type { Registry } from "./registry.ts";

/** @returns a layer of generation 0, whose guest is started like that of any other */
export async function bootFromDisk(
  registry: Registry,
  { record }: Entry,
  from: Layer,
  signal: AbortSignal,
): Promise<Layer> {
  const { lifecycle, options } = registry;
  const { vmm, pager, disks, manifest, network, records, golden } = options;
  const paths = records.paths(record.id);
  const slot = await network.acquire(record.id, signal);
  // From here on `tearDown` finds what a failure or a crash leaves.
  record.slotIndex = slot.index;
  await mkdir(paths.vm, { recursive: true, mode: 0o700 });
  await chown(paths.vm, slot.uid, slot.uid);
  const layer = await bootLayer(
    {
      buildId: newBuildId(),
      parent: paths.layers,
      base: from.meta.disk,
      resources: record.resources,
      compatibility: golden.compatibility,
      place: { vmName: record.id, slot, supervisionDirectory: paths.root, vmDirectory: paths.vm },
      prepare: async () => undefined,
    },
    { vmm, pager, disks, manifest },
    signal,
  );
  await lifecycle.tearDown(record, undefined);
  return layer;
}
