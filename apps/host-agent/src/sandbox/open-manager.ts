/** Puts the manager together with what it keeps in the state directory, and recovers what is there. */
import { lstat } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { ifExists } from "@wrenn/effects";
import type { GuestManifest } from "@wrenn/guest";
import type { DiskStore } from "../disk/disk-store.ts";
import type { NetworkPool } from "../network/network.ts";
import type { Pager } from "../pager/pager.ts";
import { Retention } from "../retention/retention.ts";
import { unit, unitOf } from "../retention/unit.ts";
import { LayerLeases } from "../snapshot/layer-leases.ts";
import { TemplateBuilds } from "../template/template-builds.ts";
import type { Vmm } from "../vmm/vmm.ts";
import type { Reserves } from "./admission.ts";
import { GoldenStore } from "./golden-store.ts";
import { SandboxManager } from "./manager.ts";
import { RecordStore } from "./record.ts";

export interface OpenManagerOptions {
  stateDirectory: string;
  vmm: Vmm;
  pager: Pager;
  network: NetworkPool;
  disks: DiskStore;
  manifest: GuestManifest;
  log: Logger;
  /** From this generation on the layers of a sandbox are joined behind it. */
  collapseGenerations: number;
  /** Allocated bytes above which golden snapshots that nobody uses are removed. */
  goldenMaxBytes: number;
  /** How often running guests are asked whether they are there. */
  healthIntervalMs: number;
  /** What the host keeps for itself. */
  reserves: Reserves;
}

export async function openManager(options: OpenManagerOptions): Promise<SandboxManager> {
  const { stateDirectory, goldenMaxBytes, ...parts } = options;
  const golden = await GoldenStore.open({ stateDirectory, budgetBytes: goldenMaxBytes, ...parts });
  const records = new RecordStore(stateDirectory);
  const leases = new LayerLeases();
  const builds = await TemplateBuilds.open(stateDirectory);
  const retention = new Retention({
    directories: {
      sandboxes: records.directory,
      golden: golden.directory,
      templates: builds.directory,
      images: join(stateDirectory, "guest", "steps"),
    },
    log: options.log,
    inUse: () => [
      ...[...manager.ids(), ...records.damaged].map((id) => unit("sandboxes", id)),
      ...builds.list().map(({ buildId }) => unit("templates", buildId)),
    ],
    held: () => leases.files(),
  });
  const manager: SandboxManager = new SandboxManager({
    stateDirectory,
    golden,
    records,
    leases,
    builds,
    retention,
    ...parts,
  });
  await manager.recover();
  // While it cannot be read what stands on something, that stays, and the host serves all the same.
  await forgetUnused(options, retention).catch((error: unknown) =>
    options.log.error({ operation: "retention", err: error }),
  );
  return manager;
}

/** Removes builds of the VMM, and images of the guest, that nothing stands on any more. */
async function forgetUnused(
  { stateDirectory, vmm, manifest }: Pick<OpenManagerOptions, "stateDirectory" | "vmm" | "manifest">,
  retention: Retention,
): Promise<void> {
  await vmm.forgetBuilds(await retention.namesIn(vmm.builds));
  // a guest that several platforms share, by a link, has users that this one does not see
  const guest = await ifExists(lstat(join(stateDirectory, "guest")));
  if (guest?.isDirectory() !== true) return;
  const current = manifest.templates.flatMap(({ rootfsPath }) => unitOf(rootfsPath, retention.directories) ?? []);
  await retention.collectImages(new Set(current));
}
