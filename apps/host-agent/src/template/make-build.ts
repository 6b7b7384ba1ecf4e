/**
 * A template build of a layer: everything flattened into a place of its own, tried, then made visible.
 * Whoever calls holds the layer.
 */
import { mkdir } from "node:fs/promises";
import { remove } from "@wrenn/effects";
import type { Pager } from "../pager/pager.ts";
import type { Resources } from "../sandbox/record.ts";
import type { Stages } from "../sandbox/stages.ts";
import type { Layer } from "../snapshot/layer.ts";
import { flattenLayer } from "../snapshot/rewrite-layer.ts";
import { digestOfLayer } from "./memory-digest.ts";
import { checkRestore, type RestoreCheckTools } from "./restore-check.ts";
import type { TemplateBuilds, TemplateManifest } from "./template-builds.ts";

export interface MakeBuildTools extends RestoreCheckTools {
  builds: TemplateBuilds;
  pager: Pager;
}

/** Settles when the build is visible and durable; a failure leaves nothing. */
export async function makeTemplateBuild(
  layer: Layer,
  { buildId, name, resources }: { buildId: string; name: string; resources: Resources },
  tools: MakeBuildTools,
  stages: Stages,
  signal: AbortSignal,
): Promise<TemplateManifest> {
  const { builds, pager, disks } = tools;
  const paths = builds.paths(buildId);
  await remove(paths.root, "template.begin");
  try {
    for (const directory of [paths.layers, paths.disks]) await mkdir(directory, { recursive: true, mode: 0o711 });
    const target = { buildId, parent: paths.layers, diskDirectory: paths.disks, diskId: "disk" };
    const flat = await stages.time(
      "flatten",
      () => flattenLayer(layer, target, undefined, { pager, disks }, signal),
      ({ meta }) => meta.memory?.dataBytes ?? 0,
    );
    const digest = await stages.time("digest", () => digestOfLayer(layer, signal));
    const check = { name: buildId, directory: paths.check, diskMib: resources.diskMib, digest };
    await checkRestore(flat, check, tools, stages, signal);
    const manifest = { version: 1, buildId, name, resources, createdAt: new Date().toISOString() } as const;
    await stages.time("publish", () => builds.publish(manifest));
    return manifest;
  } catch (error) {
    await remove(paths.root, "template.abandon");
    throw error;
  }
}
