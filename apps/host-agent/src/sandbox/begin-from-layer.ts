/** A new sandbox that goes on from a layer of somebody else: a forked sandbox's or a template's. */
import { adoptLayer } from "../snapshot/adopt-layer.ts";
import { checkCompatibility, type Layer } from "../snapshot/layer.ts";
import type { Entry } from "./entry.ts";
import type { StartedGuest } from "./lifecycle.ts";
import type { Registry } from "./registry.ts";
import type { Stages } from "./stages.ts";

/** Whoever calls has written the sandbox's record and holds the layer; from here on the record holds it too. */
export async function beginFromLayer(
  registry: Registry,
  { record }: Entry,
  layer: Layer,
  stages: Stages,
  signal: AbortSignal,
): Promise<StartedGuest> {
  const { golden, records, retention } = registry.options;
  checkCompatibility(layer, golden);
  const adopted = await stages.time("adopt", () => adoptLayer(layer, records.paths(record.id).layers));
  await registry.workingSets.share(layer, adopted);
  record.layer = adopted.meta.buildId;
  retention.changed("sandboxes", record.id);
  signal.throwIfAborted();
  return await registry.lifecycle.start(record, adopted, stages, signal);
}
