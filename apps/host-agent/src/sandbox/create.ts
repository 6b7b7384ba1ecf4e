/** create: a clone of the golden snapshot, running when this settles; undone whole when a step fails. */
import { WrennError } from "@wrenn/errors";
import type { GuestTemplate } from "@wrenn/guest";
import { abandoned, assertIncarnation, recordOf, viewOf } from "./entry.ts";
import type { CreateRequest, Entry, OperationResult } from "./entry.ts";
import { followExit } from "./exits.ts";
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
  const template = registry.template(request.templateBuildId);
  if (template === undefined) {
    throw new WrennError(
      "not_found",
      `Cannot create ${request.id}: this host has no template build ${request.templateBuildId}`,
    );
  }
  const entry = registry.add(recordOf(request, registry.options.golden.keyOf(template, request.resources)));
  entry.creation = registry.locked(request.id, () => start(registry, entry, template));
  const stages = await entry.creation;
  return { sandbox: viewOf(entry), stages };
}

async function start(registry: Registry, entry: Entry, template: GuestTemplate): Promise<Stage[]> {
  const { record } = entry;
  const { lifecycle, options } = registry;
  const stages = new Stages();
  const signal = AbortSignal.any([entry.abandon.signal, AbortSignal.timeout(START_DEADLINE_MS)]);
  try {
    await registry.assertRoom(entry);
    await options.records.write(record);
    const golden = await stages.time("golden", () => options.golden.ensure(template, record.resources));
    signal.throwIfAborted();
    entry.guest = await lifecycle.start(record, golden, stages, signal);
    await registry.enter(entry, "running");
    followExit(registry, entry, entry.guest);
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
