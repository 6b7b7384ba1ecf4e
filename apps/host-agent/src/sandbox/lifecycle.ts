/**
 * Starting and ending the guest of one sandbox: the steps that create, resume, pause and destroy share.
 * Whoever calls holds the sandbox's lock and has written its record.
 */
import { chown, mkdir } from "node:fs/promises";
import { basename, join } from "node:path";
import { remove } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { DiskBase, DiskStore } from "../disk/disk-store.ts";
import { GuestAgent } from "../envd/guest-agent.ts";
import { GUEST_MAC_ADDRESS, type NetworkPool, type Slot } from "../network/network.ts";
import { beginLayer, changesOf, commitLayer, memoryPathOf, statePathOf, type Layer } from "../snapshot/layer.ts";
import { stopLeftover } from "../vmm/shim.ts";
import type { MemoryChanges, VirtualMachine, Vmm } from "../vmm/vmm.ts";
import { runGuestHook } from "./guest-hook.ts";
import type { RecordStore, SandboxRecord } from "./record.ts";
import type { Stages } from "./stages.ts";

const MIB = 1024 * 1024;

/** The live parts of a running sandbox. */
export interface LiveGuest {
  vm: VirtualMachine;
  slot: Slot;
  agent: GuestAgent;
}

export interface LifecycleOptions {
  vmm: Vmm;
  network: NetworkPool;
  disks: DiskStore;
  records: RecordStore;
  /** User that commands run as unless told, by template build. */
  readonly defaultUserOf: (templateBuildId: string) => string;
}

export class Lifecycle {
  readonly #options: LifecycleOptions;

  constructor(options: LifecycleOptions) {
    this.#options = options;
  }

  /**
   * Brings up a guest from `state` and runs its hook. What was made is in the record before it exists, so
   * that `tearDown` finds it after a failure or a crash.
   */
  async start(
    record: SandboxRecord,
    state: { memoryPath: string; statePath: string; disk: DiskBase; changes?: MemoryChanges },
    stages: Stages,
    signal: AbortSignal,
  ): Promise<LiveGuest> {
    const { vmm, network, disks, records, defaultUserOf } = this.#options;
    const paths = records.paths(record.id);
    const slot = await stages.time("slot", () => network.acquire(record.id, signal));
    record.slotIndex = slot.index;
    await stages.time("disk", async () => {
      await mkdir(paths.vm, { recursive: true, mode: 0o700 });
      await chown(paths.vm, slot.uid, slot.uid);
      const sizeBytes = record.resources.diskMib * MIB;
      record.disk = await disks.create(
        { id: record.id, directory: paths.root, base: state.disk, sizeBytes, uid: slot.uid },
        signal,
      );
    });
    const disk = record.disk;
    if (disk === undefined) throw new WrennError("internal", `Cannot start ${record.id}: it has no disk`);
    const vm = await stages.time("restore", () =>
      vmm.restore(
        {
          name: record.id,
          directory: paths.vm,
          supervisionDirectory: paths.root,
          networkNamespace: slot.namespacePath,
          tapName: slot.tapName,
          macAddress: GUEST_MAC_ADDRESS,
          uid: slot.uid,
          diskPath: disk.path,
          diskBackingPaths: disk.backingPaths,
          shape: { vcpus: record.resources.vcpus, memoryMib: record.resources.memoryMib },
          memoryPath: state.memoryPath,
          statePath: state.statePath,
          ...(state.changes === undefined ? {} : { changes: state.changes }),
        },
        signal,
      ),
    );
    record.vm = vm.record;
    const agent = new GuestAgent(slot.hostAddress, record.accessToken);
    try {
      await stages.time("resume", () => vm.resume(signal));
      const hook = stages.time("hook", async () => {
        await agent.waitUntilReady(signal);
        await runGuestHook(agent, record, defaultUserOf(record.templateBuildId), signal);
      });
      hook.catch(() => undefined);
      const died = vm.exited.then((exit) => {
        throw new WrennError(
          "internal",
          `Cannot start ${record.id}: its VM ended (${exit.signal ?? exit.code ?? exit.kind})`,
        );
      });
      died.catch(() => undefined);
      await Promise.race([hook, died]);
      return { vm, slot, agent };
    } catch (error) {
      await agent.close();
      await vm.stop();
      throw error;
    }
  }

  /**
   * Writes a paused guest's memory and disk to a new layer and commits it. Until the commit nothing that
   * the guest needs has changed, and it may be thawed.
   */
  async commit(
    record: SandboxRecord,
    guest: LiveGuest,
    golden: Layer,
    buildId: string,
    compatibility: Record<string, string>,
    stages: Stages,
    signal: AbortSignal,
  ): Promise<Layer> {
    const { records, disks } = this.#options;
    const { layers } = records.paths(record.id);
    const disk = record.disk;
    if (disk === undefined) throw new WrennError("internal", `Cannot pause ${record.id}: it has no disk`);
    const temporary = await beginLayer(layers, buildId);
    try {
      const target = { statePath: statePathOf(temporary), memoryPath: memoryPathOf(temporary) };
      const capture = await stages.time(
        "capture",
        () => guest.vm.capture(target, signal),
        ({ stateBytes, runs }) => (runs ?? []).reduce((sum, { length }) => sum + length, stateBytes),
      );
      const sealed = await stages.time("seal", () => disks.seal(disk, temporary, signal));
      const memoryBytes = record.resources.memoryMib * MIB;
      return await stages.time("publish", () =>
        commitLayer(
          temporary,
          layers,
          capture,
          { buildId: golden.meta.buildId, memoryBytes },
          {
            version: 1,
            buildId,
            shape: golden.meta.shape,
            compatibility,
            disk: { ...sealed, path: join(layers, buildId, basename(sealed.path)) },
            basePath: golden.meta.basePath,
            createdAt: new Date().toISOString(),
          },
        ),
      );
    } catch (error) {
      await remove(temporary, "pause.abandon");
      throw error;
    }
  }

  /** Where a layer is started from: its base's memory with its own pages over it. */
  async stateOf(
    layer: Layer,
  ): Promise<{ memoryPath: string; statePath: string; disk: DiskBase; changes?: MemoryChanges }> {
    const changes = await changesOf(layer);
    return {
      memoryPath: layer.meta.basePath,
      statePath: statePathOf(layer.directory),
      disk: layer.meta.disk,
      ...(changes === undefined ? {} : { changes }),
    };
  }

  /**
   * Ends the VM and gives back slot, disk and directory of one run; layers stay. Tries everything and
   * joins the errors; repeating is success.
   */
  async tearDown(record: SandboxRecord, guest: LiveGuest | undefined): Promise<void> {
    const { network, disks, records } = this.#options;
    const paths = records.paths(record.id);
    const errors: unknown[] = [];
    const attempt = async (work: () => Promise<unknown>): Promise<void> => {
      try {
        await work();
      } catch (error) {
        errors.push(error);
      }
    };
    await attempt(async () => await guest?.agent.close());
    await attempt(async () => {
      await guest?.vm.stop();
      await stopLeftover(paths.root);
    });
    await attempt(async () => {
      const slot =
        guest?.slot ?? (record.slotIndex === undefined ? undefined : await network.adopt(record.id, record.slotIndex));
      if (slot !== undefined) await network.release(slot);
    });
    await attempt(() => disks.remove({ path: join(paths.root, "disk.qcow2") }));
    await attempt(() => remove(paths.vm, "vm.remove"));
    if (errors.length > 0) {
      throw new WrennError("internal", `Cannot take down ${record.id}: ${errors.map(String).join("; ")}`, {
        cause: new AggregateError(errors),
      });
    }
    record.vm = undefined;
    record.slotIndex = undefined;
    record.disk = undefined;
  }
}
