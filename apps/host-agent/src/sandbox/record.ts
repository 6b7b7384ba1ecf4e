/**
 * The durable record of a sandbox: `sandboxes/<id>/record.json`, replaced atomically before the first
 * side effect of every transition. It alone says, after a crash, what has to be finished or undone.
 */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { flush, ifExists, remove, stageFile, statIfExists, writeFileAtomic, type StagedFile } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { Disk } from "../disk/disk-store.ts";
import type { VmRecord } from "../vmm/vmm.ts";

/**
 * - `creating`: no guest yet; a crash undoes everything.
 * - `running`: the guest is served.
 * - `pausing`: the guest is frozen or about to be. A crash before the layer `pendingLayer` is committed
 *   thaws it; after, it finishes the pause.
 * - `paused`: only the layer `layer` is left.
 * - `resuming`: a guest is being started from `layer`; a crash goes back to `paused`.
 * - `destroying`: everything is being removed; a crash goes on.
 * - `failed`: the guest ended by itself; `reason` says how. `layer`, if there is one, can be resumed.
 */
export type SandboxState = "creating" | "running" | "pausing" | "paused" | "resuming" | "destroying" | "failed";

/** Whether a power cut may undo that a sandbox came to a state (`writeFileAtomic`). */
const DURABLE: Readonly<Record<SandboxState, boolean | "contents">> = {
  creating: false, // nothing is left of it either way
  resuming: "contents", // it is paused either way
  running: true,
  pausing: true,
  paused: true,
  destroying: true,
  failed: true,
};

export interface Resources {
  vcpus: number;
  memoryMib: number;
  diskMib: number;
}

/** When a sandbox ends; undefined: never. */
export interface Deadline {
  idleTimeoutSec: number | undefined;
  /** ISO 8601. */
  endAt: string | undefined;
  onTimeout: "destroy" | "pause";
}

export interface SandboxRecord {
  version: 1;
  id: string;
  incarnation: number;
  state: SandboxState;
  templateBuildId: string;
  resources: Resources;
  deadline: Deadline;
  envs: Record<string, string>;
  accessToken: string;
  createdAt: string;
  lastActiveAt: string;
  reason: string | undefined;
  /** Golden snapshot that this sandbox, or the one it was forked from, began as. */
  goldenKey: string | undefined;
  slotIndex: number | undefined;
  vm: VmRecord | undefined;
  disk: Disk | undefined;
  /** The overlay that a live checkpoint is about to switch the VM to; the VM itself knows whether it did. */
  nextDisk?: Disk | undefined;
  /** Build id of the last committed layer. */
  layer: string | undefined;
  /** Build id of the layer that a pause or a live checkpoint is writing. */
  pendingLayer: string | undefined;
}

/** Directories of one sandbox. */
export interface SandboxPaths {
  root: string;
  /** The VMM's own. */
  vm: string;
  layers: string;
  /** Sealed disks, and the overlay that the VM writes. They never move. */
  disks: string;
}

/** Keeps the records of a host. */
export class RecordStore {
  readonly directory: string;
  /** Sandboxes with layers whose record is no JSON, found by `readAll`: nobody knows them, and nobody removes them. */
  readonly damaged = new Set<string>();

  constructor(stateDirectory: string) {
    this.directory = join(stateDirectory, "sandboxes");
  }

  paths(id: string): SandboxPaths {
    const root = join(this.directory, id);
    return { root, vm: join(root, "vm"), layers: join(root, "layers"), disks: join(root, "disks") };
  }

  /** Replaces the record of a sandbox; whoever comes after this process sees it. */
  async write(record: SandboxRecord): Promise<void> {
    const { root } = this.paths(record.id);
    await mkdir(root, { recursive: true, mode: 0o700 });
    await writeFileAtomic(join(root, "record.json"), JSON.stringify(record), {
      name: `record.${record.state}`,
      durable: DURABLE[record.state],
    });
  }

  /**
   * Writes the record of a guest that is about to be served, so that serving it costs a rename. A power cut ends
   * that guest, and may bring back the record of before.
   */
  async stageRunning(record: SandboxRecord): Promise<StagedFile> {
    const lastActiveAt = new Date().toISOString();
    const running: SandboxRecord = { ...record, state: "running", reason: undefined, lastActiveAt };
    const path = join(this.paths(record.id).root, "record.json");
    return await stageFile(path, JSON.stringify(running), { name: "record.running" });
  }

  /** Every record of this host. A directory without one is nobody's, though others may stand on it. */
  async readAll(): Promise<SandboxRecord[]> {
    await mkdir(this.directory, { recursive: true, mode: 0o700 });
    const records: SandboxRecord[] = [];
    for (const id of await readdir(this.directory)) {
      try {
        records.push(JSON.parse(await readFile(join(this.directory, id, "record.json"), "utf8")) as SandboxRecord);
      } catch (error) {
        // what a crash left of a create or destroy; what only cannot be read now is not to be taken for that, and removed
        const { code } = error as NodeJS.ErrnoException;
        if (error instanceof SyntaxError && (await this.#hasLayers(id))) this.damaged.add(id);
        if (code === "ENOENT" || code === "ENOTDIR" || error instanceof SyntaxError) continue;
        throw new WrennError("internal", `Cannot read the record of sandbox ${id}: ${code ?? String(error)}`, {
          cause: error,
          hint: `Look at the disk of ${this.directory}; to go on without the sandbox, move its directory away`,
        });
      }
    }
    return records;
  }

  async #hasLayers(id: string): Promise<boolean> {
    return ((await ifExists(readdir(this.paths(id).layers))) ?? []).length > 0;
  }

  /** Removes the record of a sandbox: what it has left is nobody's from now on. */
  async remove(id: string): Promise<void> {
    const { root } = this.paths(id);
    await remove(join(root, "record.json"), "record.remove");
    if ((await statIfExists(root)) !== undefined) await flush(root, "record.remove.parent");
  }
}
