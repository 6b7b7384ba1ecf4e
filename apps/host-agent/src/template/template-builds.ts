/**
 * The template builds of this host that were made of sandboxes: `templates/<build>/` with a whole layer and
 * disk of its own. The manifest, written last, is what makes one visible; deleting one removes the
 * manifest, and the rest goes when nothing stands on it any more.
 */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { flush, ifExists, remove, statIfExists, writeFileAtomic } from "@wrenn/effects";
import type { Resources } from "../sandbox/record.ts";
import { openLayer, type Layer } from "../snapshot/layer.ts";

const MANIFEST = "template.json";

/** What a build says of itself; `template.json`. */
export interface TemplateManifest {
  version: 1;
  buildId: string;
  /** What people called it. Not what it is found by. */
  name: string;
  /** A sandbox made from it has exactly these. */
  resources: Resources;
  /** ISO 8601. */
  createdAt: string;
}

/** Directories of one build. */
export interface TemplatePaths {
  root: string;
  layers: string;
  disks: string;
  /** Where it is tried before it becomes visible. */
  check: string;
}

export class TemplateBuilds {
  readonly directory: string;
  readonly #manifests = new Map<string, TemplateManifest>();

  private constructor(directory: string) {
    this.directory = directory;
  }

  static async open(stateDirectory: string): Promise<TemplateBuilds> {
    const builds = new TemplateBuilds(join(stateDirectory, "templates"));
    await mkdir(builds.directory, { recursive: true, mode: 0o711 });
    for (const buildId of await readdir(builds.directory)) {
      // what cannot be read is an error: a build without a manifest is nobody's, and is removed
      const text = await ifExists(readFile(join(builds.directory, buildId, MANIFEST), "utf8"));
      if (text !== undefined) builds.#manifests.set(buildId, JSON.parse(text) as TemplateManifest);
    }
    return builds;
  }

  list(): TemplateManifest[] {
    return [...this.#manifests.values()].sort((a, b) => (a.buildId < b.buildId ? -1 : 1));
  }

  /** Undefined also for a build that was deleted and is still stood on. */
  find(buildId: string): TemplateManifest | undefined {
    return this.#manifests.get(buildId);
  }

  paths(buildId: string): TemplatePaths {
    const root = join(this.directory, buildId);
    return { root, layers: join(root, "layers"), disks: join(root, "disks"), check: join(root, "check") };
  }

  async layerOf(buildId: string): Promise<Layer> {
    return await openLayer(join(this.paths(buildId).layers, buildId));
  }

  /** Makes a complete build visible. */
  async publish(manifest: TemplateManifest): Promise<void> {
    const { root } = this.paths(manifest.buildId);
    const text = JSON.stringify(manifest, undefined, 2);
    await flush(this.directory, "template.parent");
    await writeFileAtomic(join(root, MANIFEST), text, { name: "template.manifest" });
    this.#manifests.set(manifest.buildId, manifest);
  }

  /** From now on nothing new is made of a build; an unknown one is success. */
  async delete(buildId: string): Promise<void> {
    const { root } = this.paths(buildId);
    this.#manifests.delete(buildId);
    await remove(join(root, MANIFEST), "template.delete");
    if ((await statIfExists(root)) !== undefined) await flush(root, "template.delete.parent");
  }
}
