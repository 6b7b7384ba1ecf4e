/** What is done with the template builds of this host, beside making them (`snapshot.ts`). */
import { sizesOf, verifyBuild, type BuildSizes, type CheckedFile } from "../template/inspect-build.ts";
import type { TemplateManifest } from "../template/template-builds.ts";
import type { ManagerOptions } from "./entry.ts";

const VERIFY_DEADLINE_MS = 570_000;

export type ListedBuild = TemplateManifest & BuildSizes;

export class TemplateOperations {
  readonly #options: Pick<ManagerOptions, "builds" | "retention" | "leases" | "pager" | "disks">;

  constructor(options: ManagerOptions) {
    this.#options = options;
  }

  async list(): Promise<ListedBuild[]> {
    return await Promise.all(this.#options.builds.list().map((manifest) => this.describe(manifest)));
  }

  async describe(manifest: TemplateManifest): Promise<ListedBuild> {
    return { ...manifest, ...(await sizesOf(this.#options.builds, manifest.buildId)) };
  }

  /** @returns true when sandboxes stand on it: its files go with the last of them */
  async delete(buildId: string): Promise<boolean> {
    const { builds, retention } = this.#options;
    await builds.delete(buildId);
    await retention.collect();
    return (await retention.keptOf("templates")).has(buildId);
  }

  /** @throws WrennError `not_found` */
  async verify(buildId: string): Promise<CheckedFile[]> {
    const { builds, leases, pager, disks } = this.#options;
    using _held = leases.holdPaths([builds.paths(buildId).layers]);
    return await verifyBuild(builds, buildId, { pager, disks }, AbortSignal.timeout(VERIFY_DEADLINE_MS));
  }
}
