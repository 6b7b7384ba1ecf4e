/**
 * Golden snapshots: one booted guest per (template build, machine, disk, compatibility), frozen with
 * its agent waiting. Every sandbox starts as its clone. Built once under a lock; kept by last use within
 * a byte budget, never removed while a sandbox builds on it.
 */
import { createHash, randomUUID } from "node:crypto";
import { chown, lstat, mkdir, readdir, realpath, stat, utimes } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { remove } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { GuestManifest, GuestTemplate } from "@wrenn/guest";
import type { DiskStore } from "../disk/disk-store.ts";
import type { GuestAgent } from "../envd/guest-agent.ts";
import { runInGuest } from "../envd/run-in-guest.ts";
import type { NetworkPool } from "../network/network.ts";
import { findLayer, openLayer, SNAPSHOT_FORMAT, type Layer } from "../snapshot/layer.ts";
import type { Pager } from "../pager/pager.ts";
import { stopLeftover } from "../vmm/shim.ts";
import type { Vmm } from "../vmm/vmm.ts";
import { bootLayer } from "./boot-layer.ts";
import { KeyedMutex } from "./keyed-mutex.ts";
import type { Resources } from "./record.ts";

const MIB = 1024 * 1024;
const BUILD_DEADLINE_MS = 300_000;
/** Where the shim of a guest that is being prepared keeps its things. */
const SUPERVISION = "supervision";

/**
 * Run once in every golden guest, so that its clones find the programs that everybody uses first in
 * memory. The exit status does not matter: a template may lack any of them.
 */
const WARM_UP: readonly (readonly [string, ...string[]])[] = [
  ["/bin/bash", "-l", "-c", "true"],
  ["/usr/bin/env", "python3", "-c", "print(2**100)"],
];

export interface GoldenStoreOptions {
  stateDirectory: string;
  vmm: Vmm;
  pager: Pager;
  network: NetworkPool;
  disks: DiskStore;
  manifest: GuestManifest;
  log: Logger;
  /** Allocated bytes above which unused golden snapshots are removed, longest unused first. */
  budgetBytes: number;
}

export class GoldenStore {
  readonly #options: GoldenStoreOptions;
  readonly #root: string;
  /** Platforms whose directory is a link have snapshots that this one knows nothing of. */
  readonly #isShared: boolean;
  readonly #mutex = new KeyedMutex();

  private constructor(options: GoldenStoreOptions, root: string, isShared: boolean) {
    this.#options = options;
    this.#root = root;
    this.#isShared = isShared;
  }

  static async open(options: GoldenStoreOptions): Promise<GoldenStore> {
    const root = join(options.stateDirectory, "golden");
    await mkdir(root, { recursive: true, mode: 0o700 });
    // Layers name files by this path: the directory's own, not that of a link to it.
    return new GoldenStore(options, await realpath(root), (await lstat(root)).isSymbolicLink());
  }

  get directory(): string {
    return this.#root;
  }

  /** What a captured state must match to be loaded here. */
  get compatibility(): Record<string, string> {
    return {
      ...this.#options.vmm.compatibility,
      format: String(SNAPSHOT_FORMAT),
      kernel: this.#options.manifest.kernelHash,
      // Absent for qcow2, as in the layers from before there was a choice.
      ...(this.#options.disks.kind === "qcow2" ? {} : { disks: this.#options.disks.kind }),
    };
  }

  /** Builds of the VMM that layers may be of. */
  get builds(): ReadonlySet<string> {
    return this.#options.vmm.builds;
  }

  /** Names the golden snapshot of a template on a machine, whether it exists or not. */
  keyOf(template: GuestTemplate, resources: Resources): string {
    const identity = JSON.stringify([
      template.buildId,
      resources.vcpus,
      resources.memoryMib,
      resources.diskMib,
      this.compatibility,
    ]);
    return `gold_${createHash("sha256").update(identity).digest("hex").slice(0, 20)}`;
  }

  /** The golden snapshot, built when it is missing. One build at a time per key; the others wait for it. */
  async ensure(template: GuestTemplate, resources: Resources): Promise<Layer> {
    const key = this.keyOf(template, resources);
    return await this.#mutex.run(key, undefined, async () => {
      const directory = join(this.#root, key);
      const existing = await stat(directory).catch(() => undefined);
      if (existing !== undefined) {
        const now = new Date();
        await utimes(directory, now, now);
        return await openLayer(directory);
      }
      // Not the first caller's signal: others wait for this build too.
      return await this.#build(key, template, resources, AbortSignal.timeout(BUILD_DEADLINE_MS));
    });
  }

  async get(key: string): Promise<Layer> {
    return await openLayer(join(this.#root, key));
  }

  /**
   * Removes what a crash left half-built, what no sandbox in `inUse` builds on and none will, and, above the budget,
   * what none builds on now.
   */
  async collect(inUse: ReadonlySet<string>): Promise<void> {
    const images = new Set(this.#options.manifest.templates.map(({ rootfsPath }) => rootfsPath));
    const kept: { key: string; bytes: number; usedAtMs: number }[] = [];
    for (const key of await readdir(this.#root)) {
      const directory = join(this.#root, key);
      if (key.startsWith("tmp.")) {
        await stopLeftover(join(directory, SUPERVISION)); // a guest that was being prepared
        await remove(directory, "golden.sweep");
        continue;
      }
      const layer = await findLayer(directory);
      const isOld = layer !== undefined && !layer.meta.disk.backingPaths.some((path) => images.has(path));
      if (isOld && !this.#isShared && !inUse.has(key)) {
        await remove(directory, "golden.old");
        continue;
      }
      kept.push({ key, bytes: await allocatedBytes(directory), usedAtMs: (await stat(directory)).mtimeMs });
    }
    let total = kept.reduce((sum, { bytes }) => sum + bytes, 0);
    for (const { key, bytes } of kept.toSorted((a, b) => a.usedAtMs - b.usedAtMs)) {
      if (total <= this.#options.budgetBytes) return;
      if (inUse.has(key)) continue;
      await remove(join(this.#root, key), "golden.evict");
      total -= bytes;
    }
  }

  async #build(key: string, template: GuestTemplate, resources: Resources, signal: AbortSignal): Promise<Layer> {
    const { vmm, pager, network, disks, manifest, log } = this.#options;
    const startedAt = performance.now();
    // Beside the layer, for it is no part of it; named like what a crash leaves half-built.
    const work = join(this.#root, `tmp.${key}.vm`);
    const place = { supervisionDirectory: join(work, SUPERVISION), vmDirectory: join(work, "vm") };
    const slot = await network.acquire(key, signal);
    await using cleanup = new AsyncDisposableStack();
    cleanup.defer(() => network.release(slot));
    cleanup.defer(() => remove(work, "golden.abandon"));
    await remove(work, "golden.begin");
    await mkdir(place.supervisionDirectory, { recursive: true, mode: 0o700 });
    await mkdir(place.vmDirectory, { mode: 0o700 });
    await chown(place.vmDirectory, slot.uid, slot.uid);
    const layer = await bootLayer(
      {
        buildId: key,
        parent: this.#root,
        base: { path: template.rootfsPath, format: "raw", backingPaths: [] },
        resources,
        compatibility: this.compatibility,
        // Two platforms on one machine may prepare the same snapshot at once.
        place: { vmName: `${key}.${randomUUID().slice(0, 8)}`, slot, ...place },
        prepare: (guest) => prepareGuest(guest, template, resources, signal),
      },
      { vmm, pager, disks, manifest },
      signal,
    );
    log.info({
      operation: "golden.build",
      key,
      template: template.name,
      ...resources,
      durationMs: Math.round(performance.now() - startedAt),
    });
    return layer;
  }
}

async function prepareGuest(
  guest: GuestAgent,
  template: GuestTemplate,
  resources: Resources,
  signal: AbortSignal,
): Promise<void> {
  if (resources.diskMib * MIB > template.virtualBytes) {
    const { exitCode, output } = await runInGuest(guest, ["resize2fs", "/dev/vda"], "root", signal);
    if (exitCode !== 0)
      throw new WrennError("unsupported", `Cannot enlarge the disk of template ${template.name}: ${output}`);
  }
  for (const argv of WARM_UP) await runInGuest(guest, argv, template.defaultUser, signal).catch(() => undefined);
  await runInGuest(guest, ["/bin/sync"], "root", signal);
}

async function allocatedBytes(directory: string): Promise<number> {
  let blocks = 0;
  for (const name of await readdir(directory)) blocks += (await stat(join(directory, name))).blocks;
  return blocks * 512;
}
