/**
 * pause: what the guest changed since its last layer into a new one, the answer, then the VM's end. Any failure
 * before the layer is committed thaws the guest and changes nothing; after the commit nothing can lose it.
 */
import { WrennError } from "@wrenn/errors";
import { commitLayer, beginLayer } from "../snapshot/commit-layer.ts";
import type { Layer } from "../snapshot/layer.ts";
import { abandoned, assertIncarnation, assertRunning, viewOf, type Entry, type OperationResult } from "./entry.ts";
import { fail } from "./exits.ts";
import {
  captureLayer,
  collect,
  commitCapture,
  discardCapture,
  newBuildId,
  parentLayer,
  settlePendingLayer,
} from "./layers.ts";
import type { LiveGuest } from "./lifecycle.ts";
import { rewriteWhenDue } from "./rewrite.ts";
import { endShortening } from "./shorten-disk.ts";
import type { Registry } from "./registry.ts";
import { Stages } from "./stages.ts";

const PAUSE_DEADLINE_MS = 600_000;
const THAW_DEADLINE_MS = 10_000;

export interface PauseOptions {
  /** False: only the disk is kept, and the sandbox boots anew when it is resumed. */
  memory?: boolean;
}

/** Writes memory and disk to a layer; settles when both are durable. Behind that the VM ends, still under the sandbox's lock. */
export async function pause(
  registry: Registry,
  id: string,
  incarnation: number,
  { memory = true }: PauseOptions = {},
): Promise<OperationResult> {
  const entry = registry.entry(id);
  const answer = Promise.withResolvers<OperationResult>();
  const work = async (): Promise<void> => {
    assertIncarnation(entry, incarnation);
    if (entry.record.state === "paused") {
      answer.resolve({ sandbox: viewOf(entry), stages: [] });
      return;
    }
    const guest = assertRunning(entry);
    await endShortening(entry);
    const stages = new Stages();
    try {
      await commit(registry, entry, guest, memory, stages);
    } catch (error) {
      registry.logOperation("pause", entry.record, stages, error);
      throw abandoned(entry, error);
    }
    // The record says `pausing` with the layer that was committed, which leads any next agent to the same.
    entry.guest = undefined;
    entry.record.layer = entry.record.pendingLayer;
    registry.tell(entry, "paused");
    registry.logOperation("pause", entry.record, stages);
    answer.resolve({ sandbox: viewOf(entry), stages: stages.list });
    await finishPause(registry, entry, guest).catch((error: unknown) =>
      registry.options.log.error({ operation: "pause.finish", id, err: error }),
    );
    rewriteWhenDue(registry, entry);
  };
  registry.locked(id, work).catch(answer.reject);
  return await answer.promise;
}

async function commit(
  registry: Registry,
  entry: Entry,
  guest: LiveGuest,
  memory: boolean,
  stages: Stages,
): Promise<void> {
  const { record } = entry;
  const signal = AbortSignal.any([entry.abandon.signal, AbortSignal.timeout(PAUSE_DEADLINE_MS)]);
  const buildId = newBuildId();
  record.pendingLayer = buildId;
  try {
    await registry.enter(entry, "pausing");
    if (memory) await commitMemoryAndDisk(registry, entry, guest, buildId, stages, signal);
    else await commitDisk(registry, entry, guest, buildId, stages, signal);
  } catch (error) {
    await thaw(registry, entry, guest).catch(async (cause: unknown) => {
      registry.options.log.error({ operation: "pause.thaw", id: record.id, err: cause });
      await fail(registry, entry, "its VM could not be let run on after a pause that failed");
    });
    throw error;
  }
}

async function commitMemoryAndDisk(
  registry: Registry,
  entry: Entry,
  guest: LiveGuest,
  buildId: string,
  stages: Stages,
  signal: AbortSignal,
): Promise<void> {
  // Most of the flushing happens while the guest still runs.
  await stages.time("pre-flush", () => guest.vm.flushDisk(signal));
  await stages.time("freeze", () => guest.vm.pause(signal));
  const captured = await captureLayer(registry, entry, guest, buildId, stages, signal);
  try {
    const sealed = await stages.time("seal", () => registry.options.disks.seal(diskOf(entry), signal));
    signal.throwIfAborted();
    await stages.time("publish", () => commitCapture(registry, entry, captured, sealed));
  } catch (error) {
    await discardCapture(captured);
    throw error;
  }
}

/** The guest's file system is frozen before the VM is, so that the disk alone is one that was left in order. */
async function commitDisk(
  registry: Registry,
  entry: Entry,
  guest: LiveGuest,
  buildId: string,
  stages: Stages,
  signal: AbortSignal,
): Promise<Layer> {
  const { records, golden, disks } = registry.options;
  const { layers } = records.paths(entry.record.id);
  await stages.time("freeze-files", () => guest.agent.freezeFiles(signal));
  await stages.time("freeze", () => guest.vm.pause(signal));
  const { shape } = (await parentLayer(registry, entry)).meta;
  const temporary = await beginLayer(layers, buildId);
  try {
    const disk = await stages.time("seal", () => disks.seal(diskOf(entry), signal));
    signal.throwIfAborted();
    const { compatibility } = golden;
    const parts = { temporary, parent: layers, buildId, shape, compatibility, memory: undefined, disk };
    return await stages.time("publish", () => commitLayer(parts));
  } catch (error) {
    await discardCapture({ temporary });
    throw error;
  }
}

/**
 * After the commit: nothing can lose the layer any more. A disk whose device cannot be let go is told: the sandbox
 * has failed then, and is resumed when the device has gone.
 */
export async function finishPause(registry: Registry, entry: Entry, guest: LiveGuest | undefined): Promise<void> {
  // What cannot be given back now stays in the record, for the resume or a destroy.
  await registry.lifecycle
    .tearDown(entry.record, guest)
    .catch((error: unknown) => registry.options.log.error({ operation: "pause", id: entry.record.id, err: error }));
  try {
    await settlePendingLayer(registry, entry);
  } catch (error) {
    await registry.settle(entry, "failed", `its disk could not be let go: ${WrennError.from(error).publicMessage}`);
    throw error;
  }
  await registry.settle(entry, "paused");
  await collect(registry, entry);
}

/** Lets a guest that was frozen for a pause run on. */
export async function thaw(
  registry: Registry,
  entry: Entry,
  guest: LiveGuest,
  deadlineMs = THAW_DEADLINE_MS,
): Promise<void> {
  const deadline = AbortSignal.timeout(deadlineMs);
  entry.record.pendingLayer = undefined;
  await guest.vm.resume(deadline);
  // Its file system may be frozen too; an agent that does not answer thaws it by itself.
  await guest.agent.thawFiles(deadline).catch(() => undefined);
  await registry.settle(entry, "running");
}

function diskOf({ record: { id, disk } }: Entry): NonNullable<Entry["record"]["disk"]> {
  if (disk === undefined) throw new WrennError("internal", `Cannot pause ${id}: it has no disk`);
  return disk;
}
