/**
 * create: a clone of the golden snapshot, or of a template that was made of a sandbox, running when this
 * settles; undone whole when a step fails.
 */
import { WrennError } from "@wrenn/errors";
import { beginFromLayer } from "./begin-from-layer.ts";
import { abandoned, assertIncarnation, recordOf, viewOf } from "./entry.ts";
import type { CreateRequest, Entry, OperationResult } from "./entry.ts";
import { followExit } from "./exits.ts";
import type { StartedGuest } from "./lifecycle.ts";
import type { Registry } from "./registry.ts";
import { Stages, type Stage } from "./stages.ts";

/** Longest time that starting a guest may take. */
export const START_DEADLINE_MS = 120_000;

/** Creates a sandbox and settles when its guest is served. Idempotent on (id, incarnation). */
export async function create(registry: Registry, request: CreateRequest): Promise<OperationResult> {
  const existing = registry.find(request.id);
  if (existing !== undefined) {
    assertIncarnation(existing, request.incarnation);
    const stages = (await existing.creation) ?? [];
    return { sandbox: viewOf(registry.entry(request.id)), stages };
  }
  const entry = registry.add(recordOf(request, goldenKeyOf(registry, request)));
  entry.creation = registry.locked(request.id, () => start(registry, entry));
  const stages = await entry.creation;
  return { sandbox: viewOf(entry), stages };
}

/**
 * Undefined when the template was made of a sandbox.
 * @throws WrennError `not_found` when this host does not have it, `invalid_request` when it is another machine
 */
function goldenKeyOf(registry: Registry, { id, templateBuildId, resources }: CreateRequest): string | undefined {
  const { golden, builds } = registry.options;
  const template = registry.template(templateBuildId);
  if (template !== undefined) return golden.keyOf(template, resources);
  const locked = builds.find(templateBuildId)?.resources;
  if (locked === undefined)
    throw new WrennError("not_found", `Cannot create ${id}: this host has no template build ${templateBuildId}`);
  const { vcpus, memoryMib, diskMib } = resources;
  if (vcpus !== locked.vcpus || memoryMib !== locked.memoryMib || diskMib !== locked.diskMib) {
    throw new WrennError("invalid_request", `Cannot create ${id}: its template is the snapshot of another machine`, {
      hint: `It has ${locked.vcpus} vCPUs, ${locked.memoryMib} MiB of memory and a disk of ${locked.diskMib} MiB`,
    });
  }
  return undefined;
}

async function start(registry: Registry, entry: Entry): Promise<Stage[]> {
  const { record } = entry;
  const { options } = registry;
  const stages = new Stages();
  try {
    await registry.assertRoom(entry);
    await options.records.write(record);
    const started = await startGuest(registry, entry, stages);
    await registry.serve(entry, started);
    followExit(registry, entry, started.guest);
  } catch (error) {
    registry.logOperation("create", record, stages, error);
    // What cannot be taken down now stays recorded as `creating`: destroy and the next start try again.
    await registry
      .discard(entry)
      .catch((cause: unknown) => options.log.error({ operation: "create.undo", id: record.id, err: cause }));
    throw abandoned(entry, error);
  }
  registry.logOperation("create", record, stages);
  return stages.list;
}

async function startGuest(registry: Registry, entry: Entry, stages: Stages): Promise<StartedGuest> {
  const { record } = entry;
  const { golden, builds, leases } = registry.options;
  const template = registry.template(record.templateBuildId);
  if (template !== undefined) {
    // It may have to be built first, which has a deadline of its own.
    const layer = await stages.time("golden", () => golden.ensure(template, record.resources));
    entry.abandon.signal.throwIfAborted();
    return await registry.lifecycle.start(record, layer, stages, startSignal(entry));
  }
  // Held first: from then on it stays, even if it is deleted now.
  using _held = leases.holdPaths([builds.paths(record.templateBuildId).layers]);
  if (builds.find(record.templateBuildId) === undefined)
    throw new WrennError("not_found", `Cannot create ${record.id}: its template was deleted`);
  return await beginFromLayer(
    registry,
    entry,
    await builds.layerOf(record.templateBuildId),
    stages,
    startSignal(entry),
  );
}

const startSignal = ({ abandon }: Entry): AbortSignal =>
  AbortSignal.any([abandon.signal, AbortSignal.timeout(START_DEADLINE_MS)]);
