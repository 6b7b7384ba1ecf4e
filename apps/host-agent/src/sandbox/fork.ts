/**
 * fork: children that go on from the present state of a sandbox, which goes on too. The source is locked
 * and frozen for a live checkpoint only; all children run when this settles, or none is left.
 */
import { WrennError } from "@wrenn/errors";
import type { Layer } from "../snapshot/layer.ts";
import { beginFromLayer } from "./begin-from-layer.ts";
import { holdPresentLayer } from "./checkpoint.ts";
import { START_DEADLINE_MS } from "./create.ts";
import { abandoned, assertIncarnation, viewOf, type Entry, type SandboxView } from "./entry.ts";
import { followExit } from "./exits.ts";
import type { Deadline, SandboxRecord } from "./record.ts";
import type { Registry } from "./registry.ts";
import { Stages, type Stage } from "./stages.ts";

export interface ForkRequest {
  id: string;
  incarnation: number;
  children: readonly ForkChild[];
}

/** What a child has of its own; all else is the source's. */
export interface ForkChild {
  id: string;
  incarnation: number;
  deadline: Deadline;
  accessToken: string;
}

/** Idempotent on the (id, incarnation) of the children. */
export async function fork(
  registry: Registry,
  request: ForkRequest,
): Promise<{ children: SandboxView[]; stages: Stage[] }> {
  const { children: wanted } = request;
  const repeated = await findChildren(registry, wanted);
  if (repeated !== undefined) return { children: repeated.map((entry) => viewOf(entry)), stages: [] };
  using held = await holdPresentLayer(registry, request.id, request.incarnation);
  const source = registry.entry(request.id).record;
  const again = await findChildren(registry, wanted);
  if (again !== undefined) return { children: again.map((entry) => viewOf(entry)), stages: [] };
  const entries = wanted.map((child) => registry.add(recordOfChild(source, child)));
  const creations = entries.map((entry) => {
    const creation = registry.locked(entry.record.id, () => start(registry, entry, held.layer));
    creation.catch(() => undefined); // told below
    entry.creation = creation;
    return creation;
  });
  const outcomes = await Promise.allSettled(creations);
  const failed = outcomes.find((outcome) => outcome.status === "rejected");
  if (failed !== undefined) {
    await Promise.all(entries.map((entry) => undo(registry, entry)));
    throw failed.reason;
  }
  // The children's own stages are in the log; of all of them the longest tells how long it took.
  const stages = outcomes.flatMap((outcome) => (outcome.status === "fulfilled" ? [outcome.value ?? []] : []));
  return { children: entries.map((entry) => viewOf(entry)), stages: [...held.stages, ...longest(stages)] };
}

/** The children when all of them are there already. @throws WrennError `conflict` when only some are */
async function findChildren(registry: Registry, wanted: readonly ForkChild[]): Promise<Entry[] | undefined> {
  const found = wanted.flatMap(({ id }) => registry.find(id) ?? []);
  if (found.length === 0) return undefined;
  for (const entry of found)
    assertIncarnation(entry, wanted.find(({ id }) => id === entry.record.id)?.incarnation ?? 0);
  if (found.length < wanted.length) throw new WrennError("conflict", "Cannot fork: some of the children exist already");
  for (const entry of found) await entry.creation;
  return found;
}

async function start(registry: Registry, entry: Entry, layer: Layer): Promise<Stage[]> {
  const { record } = entry;
  const stages = new Stages();
  const signal = AbortSignal.any([entry.abandon.signal, AbortSignal.timeout(START_DEADLINE_MS)]);
  try {
    await registry.assertRoom(entry);
    await registry.options.records.write(record);
    const started = await beginFromLayer(registry, entry, layer, stages, signal);
    await registry.serve(entry, started);
    followExit(registry, entry, started.guest);
  } catch (error) {
    registry.logOperation("fork", record, stages, error);
    throw abandoned(entry, error);
  }
  registry.logOperation("fork", record, stages);
  return stages.list;
}

/** What cannot be taken down now stays recorded: destroy and the next start try again. */
async function undo(registry: Registry, entry: Entry): Promise<void> {
  const { id } = entry.record;
  await registry
    .locked(id, async () => {
      if (registry.find(id) === entry) await registry.discard(entry);
    })
    .catch((cause: unknown) => registry.options.log.error({ operation: "fork.undo", id, err: cause }));
}

function recordOfChild(source: SandboxRecord, child: ForkChild): SandboxRecord {
  const now = new Date().toISOString();
  const { templateBuildId, resources, envs, goldenKey } = source;
  return {
    version: 1,
    ...child,
    state: "creating",
    templateBuildId,
    resources,
    envs,
    goldenKey,
    createdAt: now,
    lastActiveAt: now,
    reason: undefined,
    slotIndex: undefined,
    vm: undefined,
    disk: undefined,
    layer: undefined,
    pendingLayer: undefined,
  };
}

function longest(all: readonly Stage[][]): Stage[] {
  const total = (stages: readonly Stage[]): number => stages.reduce((sum, { durationMs }) => sum + durationMs, 0);
  return all.toSorted((a, b) => total(b) - total(a))[0] ?? [];
}
