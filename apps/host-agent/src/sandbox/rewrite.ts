/**
 * Collapse and flatten behind a paused or running sandbox. The long part runs without its lock; the result
 * counts only if the sandbox has not gone on meanwhile, and else is removed. Never in a freeze: a pause
 * that comes meanwhile does not wait.
 */
import { randomUUID } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { DiskBase } from "../disk/disk-store.ts";
import type { Layer } from "../snapshot/layer.ts";
import { rewriteDue, type Rewrite } from "../snapshot/policy.ts";
import { baseOf, collapseLayer, flattenLayer } from "../snapshot/rewrite-layer.ts";
import type { Entry } from "./entry.ts";
import { collect, lastLayer, newBuildId } from "./layers.ts";
import type { Registry } from "./registry.ts";
import { Stages } from "./stages.ts";

/** Starts what is due for the sandbox's last layer, if nothing of the kind is under way. Never fails. */
export function rewriteWhenDue(registry: Registry, entry: Entry): void {
  const ended = (): boolean => registry.closing.signal.aborted || entry.abandon.signal.aborted;
  if (entry.rewriting !== undefined || ended()) return;
  const stages = new Stages();
  const rewriting = rewriteLast(registry, entry, stages);
  entry.rewriting = rewriting
    .then(
      () => undefined,
      () => undefined,
    )
    .finally(() => {
      entry.rewriting = undefined;
    });
  void rewriting
    .then(async (rewritten) => rewritten && (await takeOver(registry, entry, rewritten, stages)))
    .catch((error: unknown) => {
      if (!ended()) registry.logOperation("rewrite", entry.record, stages, error);
    });
}

/**
 * A sandbox that is resumed again and again before its disks are joined would go on from the long chain for ever.
 * Once that is twice as long as it should be, a resume waits here; whoever calls must not hold the lock.
 */
export async function waitUntilJoined(registry: Registry, entry: Entry): Promise<void> {
  const { records, collapseGenerations } = registry.options;
  const { record } = entry;
  const isLong = await registry.locked(record.id, async () => {
    const last = record.state === "paused" ? await lastLayer(registry, entry) : undefined;
    return last !== undefined && ownDisksOf(last, records.paths(record.id).root).length >= 2 * collapseGenerations;
  });
  if (isLong) await entry.rewriting; // its result is taken over before the next one gets the lock
}

/** A layer that holds what another one does. */
interface Rewritten {
  kind: Rewrite;
  from: Layer;
  to: Layer;
  /** Keeps both from being collected. */
  held: Disposable;
}

async function rewriteLast(registry: Registry, entry: Entry, stages: Stages): Promise<Rewritten | undefined> {
  const { pager, disks, leases, records, collapseGenerations } = registry.options;
  const { record } = entry;
  const from = await lastLayer(registry, entry);
  const paths = records.paths(record.id);
  const kind = from && rewriteDue(from, ownDisksOf(from, paths.root).length, collapseGenerations);
  // A running VM maps the image that a flattened memory would replace.
  if (from === undefined || kind === undefined || (kind === "flatten" && record.state !== "paused")) return undefined;
  const buildId = newBuildId();
  const diskDirectory = join(paths.disks, `joined-${randomUUID().slice(0, 8)}`);
  const target = { buildId, parent: paths.layers, diskDirectory, diskId: "disk" };
  const written = [join(paths.layers, `tmp.${buildId}`), join(paths.layers, buildId), diskDirectory];
  const held = new DisposableStack();
  held.use(leases.hold(from));
  held.use(leases.holdPaths(written));
  try {
    const signal = AbortSignal.any([entry.abandon.signal, registry.closing.signal]);
    await mkdir(diskDirectory, { recursive: true, mode: 0o711 });
    const rewrite = kind === "flatten" ? flattenLayer : collapseLayer;
    const to = await stages.time(
      kind,
      () => rewrite(from, target, foreignBaseOf(from, paths.root), { pager, disks }, signal),
      ({ meta }) => meta.memory?.dataBytes ?? 0,
    );
    await registry.workingSets.share(from, to);
    return { kind, from, to, held };
  } catch (error) {
    held.dispose();
    throw error;
  }
}

/** The sandbox goes on from the rewritten layer, unless it has gone on from the old one meanwhile. */
async function takeOver(registry: Registry, entry: Entry, rewritten: Rewritten, stages: Stages): Promise<void> {
  const { kind, from, to, held } = rewritten;
  const { record } = entry;
  await registry.locked(record.id, async () => {
    const lives = registry.find(record.id) === entry && !registry.closing.signal.aborted;
    const isCurrent = record.layer === from.meta.buildId && (kind === "collapse" || record.state === "paused");
    const failure = lives && isCurrent ? await goOnFrom(registry, entry, to) : undefined;
    if (lives && isCurrent) registry.logOperation("rewrite", record, stages, failure);
    held[Symbol.dispose]();
    if (lives) await collect(registry, entry);
  });
}

/**
 * @returns the failure that keeps the old layer
 * @throws when the record on the disk may name either: then neither may go
 */
async function goOnFrom(registry: Registry, entry: Entry, to: Layer): Promise<unknown> {
  const { record } = entry;
  const before = record.layer;
  record.layer = to.meta.buildId;
  try {
    await registry.enter(entry, record.state, record.reason);
    return undefined;
  } catch (error) {
    record.layer = before;
    await registry.enter(entry, record.state, record.reason);
    return error;
  }
}

const ownDisksOf = ({ meta: { disk } }: Layer, directory: string): string[] =>
  [disk.path, ...disk.backingPaths].filter((path) => path.startsWith(`${directory}/`));

/** The disk below all of the sandbox's own: its template's. */
function foreignBaseOf(layer: Layer, directory: string): DiskBase {
  const { disk } = layer.meta;
  const path = [disk.path, ...disk.backingPaths].find((candidate) => !candidate.startsWith(`${directory}/`));
  return baseOf(disk, path ?? disk.path);
}
