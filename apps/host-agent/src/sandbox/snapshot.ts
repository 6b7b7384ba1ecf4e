/** snapshot: a template build of the present state of a sandbox, which goes on while it is made. */
import { checkCompatibility } from "../snapshot/layer.ts";
import { makeTemplateBuild } from "../template/make-build.ts";
import type { TemplateManifest } from "../template/template-builds.ts";
import { holdPresentLayer } from "./checkpoint.ts";
import type { Registry } from "./registry.ts";
import { Stages, type Stage } from "./stages.ts";

const SNAPSHOT_DEADLINE_MS = 570_000;

export interface SnapshotRequest {
  id: string;
  incarnation: number;
  buildId: string;
  name: string;
}

/** Idempotent on the build id. */
export async function snapshot(
  registry: Registry,
  { id, incarnation, buildId, name }: SnapshotRequest,
): Promise<{ build: TemplateManifest; stages: Stage[] }> {
  const { options } = registry;
  const { builds, leases, golden, retention } = options;
  return await registry.locked(buildId, async () => {
    const existing = builds.find(buildId);
    if (existing !== undefined) return { build: existing, stages: [] };
    using held = await holdPresentLayer(registry, id, incarnation);
    const { record } = registry.entry(id);
    // Until its manifest is there it is nobody's.
    using _making = leases.holdPaths([builds.paths(buildId).layers]);
    const stages = new Stages();
    const signal = AbortSignal.any([registry.closing.signal, AbortSignal.timeout(SNAPSHOT_DEADLINE_MS)]);
    try {
      checkCompatibility(held.layer, golden);
      const { resources } = record;
      const build = await makeTemplateBuild(held.layer, { buildId, name, resources }, options, stages, signal);
      await registry.workingSets.share(held.layer, await builds.layerOf(buildId));
      registry.logOperation("snapshot", record, stages);
      return { build, stages: [...held.stages, ...stages.list] };
    } catch (error) {
      registry.logOperation("snapshot", record, stages, error);
      throw error;
    } finally {
      retention.changed("templates", buildId);
    }
  });
}
