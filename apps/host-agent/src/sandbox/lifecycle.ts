/**
 * Starting and ending the guest of one sandbox: the steps that create, resume, pause and destroy share.
 * Whoever calls holds the sandbox's lock and has written its record.
 */
import { chown, mkdir } from "node:fs/promises";
import { randomUUID } from "node:crypto";
import { availableParallelism } from "node:os";
import { dirname, join } from "node:path";
import { remove, type StagedFile } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { placementOf, type Disk, type DiskBase, type DiskStore } from "../disk/disk-store.ts";
import { GuestAgent } from "../envd/guest-agent.ts";
import { GUEST_MAC_ADDRESS, type NetworkPool, type Slot } from "../network/network.ts";
import { buildOf, guestMemoryOf, statePathOf, type Layer } from "../snapshot/layer.ts";
import { findWorkingSet } from "../snapshot/working-set.ts";
import { stopLeftover } from "../vmm/shim.ts";
import { endedUnder } from "../vmm/vm-exit.ts";
import type { VirtualMachine, Vmm } from "../vmm/vmm.ts";
import { runGuestHook } from "./guest-hook.ts";
import type { RecordStore, SandboxRecord } from "./record.ts";
import type { Stages } from "./stages.ts";
import { Turns } from "./turns.ts";

const MIB = 1024 * 1024;
const PAGE_BYTES = 4096;
/** One runs in its guest while the other is being set up. */
const STARTS_PER_PROCESSOR = 2;

/** A guest that is about to be served. */
export interface StartedGuest {
  guest: LiveGuest;
  /** Its record, to be committed when it is served. */
  record: StagedFile;
}

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
  /** User that commands run as unless told, by template build; undefined: whom its memory says. */
  readonly defaultUserOf: (templateBuildId: string) => string | undefined;
}

export class Lifecycle {
  readonly #options: LifecycleOptions;
  readonly #turns = new Turns(STARTS_PER_PROCESSOR * availableParallelism());

  constructor(options: LifecycleOptions) {
    this.#options = options;
  }

  /**
   * Brings up a guest from `layer` and runs its hook. What was made is in the record before it exists, so
   * that `tearDown` finds it after a failure or a crash.
   */
  async start(record: SandboxRecord, layer: Layer, stages: Stages, signal: AbortSignal): Promise<StartedGuest> {
    const { vmm, network, records, defaultUserOf } = this.#options;
    const paths = records.paths(record.id);
    using _turn = await stages.time("turn", () => this.#turns.take(signal));
    const slot = await stages.time("slot", () => network.acquire(record.id, signal));
    record.slotIndex = slot.index;
    await stages.time("disk", async () => {
      await mkdir(paths.vm, { recursive: true, mode: 0o700 });
      await chown(paths.vm, slot.uid, slot.uid);
      record.disk = await this.createOverlay(record, layer.meta.disk, slot.uid, signal);
    });
    const disk = record.disk;
    if (disk === undefined) throw new WrennError("internal", `Cannot start ${record.id}: it has no disk`);
    const workingSet = await findWorkingSet(layer).catch(() => undefined);
    const vm = await stages.time(
      "restore",
      () =>
        vmm.restore(
          {
            name: record.id,
            directory: paths.vm,
            supervisionDirectory: paths.root,
            networkNamespace: slot.namespacePath,
            tapName: slot.tapName,
            macAddress: GUEST_MAC_ADDRESS,
            uid: slot.uid,
            ...placementOf(disk),
            ...(disk.device === undefined ? { diskDirectory: dirname(disk.path) } : {}),
            shape: { vcpus: record.resources.vcpus, memoryMib: record.resources.memoryMib },
            memory: guestMemoryOf(layer),
            statePath: statePathOf(layer.directory),
            ...(workingSet === undefined ? {} : { workingSet }),
            build: buildOf(layer),
            metadata: { sandboxId: record.id, templateId: record.templateBuildId },
          },
          signal,
        ),
      ({ record: { isPaged } }) => (isPaged === true ? 0 : (layer.meta.memory?.accumulatedBytes ?? 0)),
      ({ record: { isPaged } }) => (isPaged === true ? undefined : pagesOf(layer)),
    );
    record.vm = vm.record;
    const agent = new GuestAgent(slot.hostAddress, record.accessToken);
    try {
      await stages.time("resume", () => vm.resume(signal));
      const hook = stages.time(
        "hook",
        async () => {
          await runGuestHook(agent, record, defaultUserOf(record.templateBuildId), signal);
          return await vm.servedPages(signal).catch(() => undefined);
        },
        undefined,
        (served) => served,
      );
      hook.catch(() => undefined);
      const died = vm.exited.then((exit) => {
        throw endedUnder(`Cannot start ${record.id}`, exit);
      });
      died.catch(() => undefined);
      const [staged, served] = await Promise.allSettled([records.stageRunning(record), Promise.race([hook, died])]);
      if (staged.status === "rejected") throw staged.reason;
      if (served.status === "rejected") {
        await staged.value.discard();
        throw served.reason;
      }
      return { guest: { vm, slot, agent }, record: staged.value };
    } catch (error) {
      await agent.close();
      await vm.stop();
      throw error;
    }
  }

  /**
   * Makes an empty overlay for a run to write, in a directory of the run's own, under a name that nothing
   * else has.
   * @param directory of the run, when it has one already
   */
  async createOverlay(
    record: SandboxRecord,
    base: DiskBase,
    uid: number,
    signal: AbortSignal,
    directory = join(this.#options.records.paths(record.id).disks, `run${record.incarnation}-${shortId()}`),
  ): Promise<Disk> {
    await mkdir(directory, { recursive: true, mode: 0o711 });
    const sizeBytes = record.resources.diskMib * MIB;
    return await this.#options.disks.create({ id: `disk-${shortId()}`, directory, base, sizeBytes, uid }, signal);
  }

  /**
   * Ends the VM and gives back slot and directory of one run, and its disk unless a layer needs it; layers stay. Tries everything and
   * joins the errors; repeating is success.
   */
  async tearDown(record: SandboxRecord, guest: LiveGuest | undefined): Promise<void> {
    const { network, records, disks } = this.#options;
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
      // Never before its VM has ended.
      for (const disk of [record.disk, record.nextDisk]) if (disk !== undefined) await disks.detach(disk);
    });
    await attempt(async () => {
      const slot =
        guest?.slot ?? (record.slotIndex === undefined ? undefined : await network.adopt(record.id, record.slotIndex));
      if (slot !== undefined) await network.release(slot);
    });
    await attempt(() => remove(paths.vm, "vm.remove"));
    if (errors.length > 0) {
      throw new WrennError("internal", `Cannot take down ${record.id}: ${errors.map(String).join("; ")}`, {
        cause: new AggregateError(errors),
      });
    }
    record.vm = undefined;
    record.slotIndex = undefined;
    record.disk = undefined;
    record.nextDisk = undefined;
  }
}

/** Where the pages of a guest come from that has mapped its image, and over which the rest was put. */
function pagesOf({ meta: { memory, shape } }: Layer): Record<string, number> {
  const injected = (memory?.accumulatedBytes ?? 0) / PAGE_BYTES;
  return { mapped: (shape.memoryMib * MIB) / PAGE_BYTES - injected, injected };
}

const shortId = (): string => randomUUID().slice(0, 8);
