/**
 * The sandboxes of this host: one lock and one state machine each, every transition in the durable
 * record before its first side effect. Requests may be canceled by nobody but `destroy`: a client that
 * goes away changes nothing.
 */
import { EventEmitter } from "node:events";
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import type { Logger } from "pino";
import { WrennError } from "@wrenn/errors";
import type { GuestManifest, GuestTemplate } from "@wrenn/guest";
import { GuestAgent } from "../envd/guest-agent.ts";
import { checkCompatibility, openLayer } from "../snapshot/layer.ts";
import type { VmExit } from "../vmm/vmm.ts";
import { assertRoom } from "./admission.ts";
import type { GoldenStore } from "./golden-store.ts";
import { KeyedMutex } from "./keyed-mutex.ts";
import { Lifecycle, type LifecycleOptions, type LiveGuest } from "./lifecycle.ts";
import type { Deadline, RecordStore, Resources, SandboxRecord } from "./record.ts";
import { Stages, type Stage } from "./stages.ts";

const CREATE_DEADLINE_MS = 120_000;
const PAUSE_DEADLINE_MS = 600_000;
const THAW_DEADLINE_MS = 10_000;

export interface ManagerOptions extends Omit<LifecycleOptions, "defaultUserOf"> {
  stateDirectory: string;
  manifest: GuestManifest;
  golden: GoldenStore;
  records: RecordStore;
  log: Logger;
}

export interface CreateRequest {
  id: string;
  incarnation: number;
  templateBuildId: string;
  resources: Resources;
  deadline: Deadline;
  envs: Record<string, string>;
  accessToken: string;
}

/** A sandbox as others see it. */
export type SandboxView = Readonly<SandboxRecord>;

interface Entry {
  record: SandboxRecord;
  guest: LiveGuest | undefined;
  /** Streams and transfers under way; while there are any the sandbox is active. */
  uses: number;
  lastActiveAtMs: number;
  /** Aborted by destroy: ends the operation that holds the lock. */
  abandon: AbortController;
  creation: Promise<Stage[]> | undefined;
}

interface ManagerEvents {
  changed: [SandboxView, gone: boolean];
}

export class SandboxManager {
  readonly events = new EventEmitter<ManagerEvents>();
  readonly #options: ManagerOptions;
  readonly #lifecycle: Lifecycle;
  readonly #entries = new Map<string, Entry>();
  readonly #mutex = new KeyedMutex();

  constructor(options: ManagerOptions) {
    this.#options = options;
    this.#lifecycle = new Lifecycle({
      ...options,
      defaultUserOf: (buildId) => this.#template(buildId)?.defaultUser ?? "",
    });
    this.events.setMaxListeners(0);
  }

  list(): SandboxView[] {
    return [...this.#entries.values()].map((entry) => view(entry)).sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  get(id: string): SandboxView {
    return view(this.#entry(id));
  }

  /** Creates a sandbox and settles when its guest is served. Idempotent on (id, incarnation). */
  async create(request: CreateRequest): Promise<{ sandbox: SandboxView; stages: Stage[] }> {
    const existing = this.#entries.get(request.id);
    if (existing !== undefined) {
      this.#assertIncarnation(existing, request.incarnation);
      const stages = (await existing.creation) ?? [];
      return { sandbox: this.get(request.id), stages };
    }
    const template = this.#template(request.templateBuildId);
    if (template === undefined) {
      throw new WrennError(
        "not_found",
        `Cannot create ${request.id}: this host has no template build ${request.templateBuildId}`,
      );
    }
    const entry = newEntry(recordOf(request, this.#options.golden.keyOf(template, request.resources)));
    this.#entries.set(request.id, entry);
    entry.creation = this.#mutex.run(request.id, undefined, () => this.#create(entry, template));
    const stages = await entry.creation;
    return { sandbox: view(entry), stages };
  }

  async #create(entry: Entry, template: GuestTemplate): Promise<Stage[]> {
    const { record } = entry;
    const stages = new Stages();
    const signal = AbortSignal.any([entry.abandon.signal, AbortSignal.timeout(CREATE_DEADLINE_MS)]);
    try {
      await assertRoom(this.#options.stateDirectory, record.resources);
      await this.#options.records.write(record);
      const golden = await stages.time("golden", () => this.#options.golden.ensure(template, record.resources));
      signal.throwIfAborted();
      entry.guest = await this.#lifecycle.start(record, await this.#lifecycle.stateOf(golden), stages, signal);
      await this.#enter(entry, "running");
      this.#followExit(entry, entry.guest);
    } catch (error) {
      this.#logOperation("create", record, stages, error);
      // What cannot be taken down now stays recorded as `creating`: destroy and the next start try again.
      await this.#discard(entry).catch((cause: unknown) =>
        this.#options.log.error({ operation: "create.undo", id: record.id, err: cause }),
      );
      throw abandoned(entry, error);
    }
    this.#logOperation("create", record, stages);
    return stages.list;
  }

  /** Destroys a sandbox in any state; ends the operation that is under way. An unknown one is success. */
  async destroy(id: string, incarnation: number, reason = "destroyed on request"): Promise<Stage[]> {
    const entry = this.#entries.get(id);
    if (entry === undefined) return [];
    if (incarnation !== 0) this.#assertIncarnation(entry, incarnation);
    entry.abandon.abort(new WrennError("conflict", `The sandbox ${id} is being destroyed`));
    return await this.#mutex.run(id, undefined, async () => {
      if (this.#entries.get(id) !== entry) return [];
      const stages = new Stages();
      await this.#enter(entry, "destroying", reason);
      await stages.time("tear-down", () => this.#discard(entry));
      this.#logOperation("destroy", entry.record, stages);
      return stages.list;
    });
  }

  /** Writes memory and disk to a layer and ends the VM; settles when both are durable. */
  async pause(id: string, incarnation: number): Promise<{ sandbox: SandboxView; stages: Stage[] }> {
    const entry = this.#entry(id);
    return await this.#mutex.run(id, undefined, async () => {
      this.#assertIncarnation(entry, incarnation);
      if (entry.record.state === "paused") return { sandbox: view(entry), stages: [] };
      const guest = this.#assertRunning(entry);
      const stages = new Stages();
      try {
        await this.#pause(entry, guest, stages);
      } catch (error) {
        this.#logOperation("pause", entry.record, stages, error);
        throw abandoned(entry, error);
      }
      this.#logOperation("pause", entry.record, stages);
      return { sandbox: view(entry), stages: stages.list };
    });
  }

  async #pause(entry: Entry, guest: LiveGuest, stages: Stages): Promise<void> {
    const { record } = entry;
    const { golden } = this.#options;
    if (record.goldenKey === undefined)
      throw new WrennError("internal", `Cannot pause ${record.id}: its base is unknown`);
    const base = await golden.get(record.goldenKey);
    const signal = AbortSignal.any([entry.abandon.signal, AbortSignal.timeout(PAUSE_DEADLINE_MS)]);
    const buildId = `layer_${randomUUID().replaceAll("-", "").slice(0, 20)}`;
    record.pendingLayer = buildId;
    await this.#enter(entry, "pausing");
    try {
      // Most of the flushing happens while the guest still runs.
      await stages.time("pre-flush", () => guest.vm.flushDisk(signal));
      await stages.time("freeze", () => guest.vm.pause(signal));
      await this.#lifecycle.commit(record, guest, base, buildId, golden.compatibility, stages, signal);
    } catch (error) {
      await this.#thaw(entry, guest);
      throw error;
    }
    entry.guest = undefined;
    await this.#finishPause(entry, guest, buildId);
  }

  /** After the commit: nothing can lose the layer any more. */
  async #finishPause(entry: Entry, guest: LiveGuest | undefined, buildId: string): Promise<void> {
    const { record } = entry;
    const { records, disks } = this.#options;
    const layer = await openLayer(join(records.paths(record.id).layers, buildId));
    await this.#lifecycle.tearDown(record, guest);
    await disks.lock(layer.meta.disk);
    record.layer = buildId;
    record.pendingLayer = undefined;
    await this.#enter(entry, "paused");
  }

  async #thaw(entry: Entry, guest: LiveGuest): Promise<void> {
    entry.record.pendingLayer = undefined;
    await guest.vm.resume(AbortSignal.timeout(THAW_DEADLINE_MS));
    await this.#enter(entry, "running");
  }

  /** Starts a paused (or failed, but resumable) sandbox again, under its next incarnation. */
  async resume(
    id: string,
    incarnation: number,
    deadline: Deadline | undefined,
  ): Promise<{ sandbox: SandboxView; stages: Stage[] }> {
    const entry = this.#entry(id);
    return await this.#mutex.run(id, undefined, async () => {
      const { record } = entry;
      if (record.state === "running" && record.incarnation === incarnation) return { sandbox: view(entry), stages: [] };
      if ((record.state !== "paused" && record.state !== "failed") || record.layer === undefined) {
        throw new WrennError("invalid_state", `Cannot resume ${id}: it is ${record.state}`, {
          hint: "Only a paused sandbox can be resumed",
        });
      }
      if (incarnation <= record.incarnation) throw staleIncarnation(id, incarnation, record.incarnation);
      const stages = new Stages();
      try {
        await this.#resume(entry, record.layer, incarnation, deadline, stages);
      } catch (error) {
        this.#logOperation("resume", record, stages, error);
        throw abandoned(entry, error);
      }
      this.#logOperation("resume", record, stages);
      return { sandbox: view(entry), stages: stages.list };
    });
  }

  async #resume(
    entry: Entry,
    layerId: string,
    incarnation: number,
    deadline: Deadline | undefined,
    stages: Stages,
  ): Promise<void> {
    const { record } = entry;
    const layer = await openLayer(join(this.#options.records.paths(record.id).layers, layerId));
    checkCompatibility(layer, this.#options.golden.compatibility);
    await assertRoom(this.#options.stateDirectory, record.resources);
    const signal = AbortSignal.any([entry.abandon.signal, AbortSignal.timeout(CREATE_DEADLINE_MS)]);
    record.incarnation = incarnation;
    if (deadline !== undefined) record.deadline = deadline;
    await this.#enter(entry, "resuming");
    try {
      entry.guest = await this.#lifecycle.start(record, await this.#lifecycle.stateOf(layer), stages, signal);
      this.touch(entry);
      await this.#enter(entry, "running");
      this.#followExit(entry, entry.guest);
    } catch (error) {
      entry.guest = undefined;
      await this.#lifecycle.tearDown(record, undefined);
      await this.#enter(entry, "paused", `resume failed: ${WrennError.from(error).message}`);
      throw error;
    }
  }

  /** Sets when a sandbox ends; counts as activity. */
  async setDeadline(id: string, incarnation: number, deadline: Deadline | undefined): Promise<SandboxView> {
    const entry = this.#entry(id);
    return await this.#mutex.run(id, undefined, async () => {
      this.#assertIncarnation(entry, incarnation);
      this.#assertRunning(entry);
      this.touch(entry);
      if (deadline !== undefined) {
        entry.record.deadline = deadline;
        await this.#enter(entry, "running");
      }
      return view(entry);
    });
  }

  /**
   * Gives access to a running guest. The sandbox is active until the returned lease is disposed.
   * @throws WrennError `not_found`, `stale_incarnation`, `invalid_state`
   */
  use(id: string, incarnation: number): { agent: GuestAgent } & Disposable {
    const entry = this.#entry(id);
    this.#assertIncarnation(entry, incarnation);
    const { agent } = this.#assertRunning(entry);
    entry.uses++;
    this.touch(entry);
    let open = true;
    return {
      agent,
      [Symbol.dispose]: () => {
        if (!open) return;
        open = false;
        entry.uses--;
        this.touch(entry);
      },
    };
  }

  /** When a sandbox was last used; now, while a stream or transfer is under way. */
  activity(id: string): { inUse: boolean; lastActiveAtMs: number } | undefined {
    const entry = this.#entries.get(id);
    return entry === undefined ? undefined : { inUse: entry.uses > 0, lastActiveAtMs: entry.lastActiveAtMs };
  }

  touch(entry: { lastActiveAtMs: number }): void {
    entry.lastActiveAtMs = Date.now();
  }

  /** Finishes or undoes what an earlier agent left, and adopts the guests that still run. */
  async recover(): Promise<void> {
    const { records, network, golden } = this.#options;
    const { records: found, leftovers } = await records.readAll();
    for (const record of found) this.#entries.set(record.id, newEntry(record));
    await Promise.all(found.map(({ id }) => this.#mutex.run(id, undefined, () => this.#recoverOne(this.#entry(id)))));
    for (const id of leftovers) await records.remove(id);
    const alive = [...this.#entries.values()];
    await network.sweep(new Set(alive.filter(({ guest }) => guest !== undefined).map(({ record }) => record.id)));
    await golden.collect(new Set(alive.flatMap(({ record }) => record.goldenKey ?? [])));
  }

  async #recoverOne(entry: Entry): Promise<void> {
    const { record } = entry;
    const { log, records } = this.#options;
    log.info({ operation: "recover", id: record.id, state: record.state });
    switch (record.state) {
      case "creating":
      case "destroying":
        await this.#discard(entry);
        return;
      case "resuming":
        await this.#lifecycle.tearDown(record, undefined);
        await this.#enter(entry, "paused", "the host agent ended while resuming");
        return;
      case "pausing": {
        const pending = record.pendingLayer;
        const committed =
          pending !== undefined &&
          (await openLayer(join(records.paths(record.id).layers, pending)).then(
            () => true,
            () => false,
          ));
        if (committed) await this.#finishPause(entry, undefined, pending);
        else await this.#readopt(entry);
        return;
      }
      case "running":
        await this.#readopt(entry);
        return;
      case "paused":
      case "failed":
        return;
    }
  }

  async #readopt(entry: Entry): Promise<void> {
    const { record } = entry;
    const { vmm, network } = this.#options;
    const signal = AbortSignal.timeout(THAW_DEADLINE_MS);
    const vm = record.vm === undefined ? undefined : await vmm.adopt(record.vm, signal).catch(() => undefined);
    const slot =
      vm === undefined || record.slotIndex === undefined ? undefined : await network.adopt(record.id, record.slotIndex);
    if (vm === undefined || slot === undefined) {
      await vm?.stop();
      await this.#fail(entry, "the VM ended while the host agent was away");
      return;
    }
    const guest = { vm, slot, agent: new GuestAgent(slot.hostAddress, record.accessToken) };
    entry.guest = guest;
    await this.#thaw(entry, guest); // it may have been frozen for a pause
    this.#followExit(entry, guest);
  }

  /** Lets go of every guest without ending it, after the operations under way; the next agent adopts them. */
  async detach(): Promise<void> {
    const letGo = async (entry: Entry): Promise<void> => {
      const { guest } = entry;
      entry.guest = undefined;
      guest?.vm.detach();
      await guest?.agent.close();
    };
    await Promise.all([...this.#entries].map(([id, entry]) => this.#mutex.run(id, undefined, () => letGo(entry))));
  }

  /** Reports a guest's death at once, and keeps what can be resumed. */
  #followExit(entry: Entry, guest: LiveGuest): void {
    void guest.vm.exited.then((exit) =>
      this.#mutex.run(entry.record.id, undefined, async () => {
        if (entry.guest !== guest) return; // ended by us
        await this.#fail(entry, reasonOf(exit));
      }),
    );
  }

  async #fail(entry: Entry, reason: string): Promise<void> {
    const { record } = entry;
    const { guest } = entry;
    entry.guest = undefined;
    this.#options.log.warn({ operation: "failed", id: record.id, reason });
    await this.#lifecycle.tearDown(record, guest);
    await this.#enter(entry, "failed", reason);
  }

  /** Removes everything of a sandbox. Its record goes last, so that a crash goes on here. */
  async #discard(entry: Entry): Promise<void> {
    const { guest } = entry;
    entry.guest = undefined;
    await this.#lifecycle.tearDown(entry.record, guest);
    await this.#options.records.remove(entry.record.id);
    this.#entries.delete(entry.record.id);
    this.events.emit("changed", view(entry), true);
  }

  async #enter(entry: Entry, state: SandboxRecord["state"], reason?: string): Promise<void> {
    const { record } = entry;
    record.state = state;
    record.reason = reason;
    record.lastActiveAt = new Date(entry.lastActiveAtMs).toISOString();
    await this.#options.records.write(record);
    this.events.emit("changed", view(entry), false);
  }

  #template(buildId: string): GuestTemplate | undefined {
    return this.#options.manifest.templates.find((template) => template.buildId === buildId);
  }

  #entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new WrennError("not_found", `There is no sandbox ${id} on this host`);
    return entry;
  }

  #assertIncarnation({ record }: Entry, incarnation: number): void {
    if (record.incarnation !== incarnation) throw staleIncarnation(record.id, incarnation, record.incarnation);
  }

  #assertRunning({ record, guest }: Entry): LiveGuest {
    if (record.state === "running" && guest !== undefined) return guest;
    const hint = record.state === "paused" ? "Resume it first" : undefined;
    throw new WrennError(
      "invalid_state",
      `The sandbox ${record.id} is ${record.state}, not running`,
      hint === undefined ? {} : { hint },
    );
  }

  #logOperation(operation: string, { id, incarnation }: SandboxRecord, stages: Stages, error?: unknown): void {
    const { log } = this.#options;
    const durationMs = stages.list.reduce((sum, stage) => sum + stage.durationMs, 0);
    if (error === undefined) log.info({ operation, id, incarnation, durationMs, stages: stages.list });
    else log.error({ operation, id, incarnation, durationMs, stages: stages.list, err: error });
  }
}

function newEntry(record: SandboxRecord): Entry {
  return {
    record,
    guest: undefined,
    uses: 0,
    lastActiveAtMs: Date.parse(record.lastActiveAt),
    abandon: new AbortController(),
    creation: undefined,
  };
}

function recordOf(request: CreateRequest, goldenKey: string): SandboxRecord {
  const now = new Date().toISOString();
  return {
    version: 1,
    ...request,
    state: "creating",
    createdAt: now,
    lastActiveAt: now,
    reason: undefined,
    goldenKey,
    slotIndex: undefined,
    vm: undefined,
    disk: undefined,
    layer: undefined,
    pendingLayer: undefined,
  };
}

function view(entry: Entry): SandboxView {
  return { ...entry.record, lastActiveAt: new Date(entry.lastActiveAtMs).toISOString() };
}

/** The operation's error, or that the sandbox is being destroyed when that is what ended it. */
function abandoned(entry: Entry, error: unknown): unknown {
  return entry.abandon.signal.aborted ? entry.abandon.signal.reason : error;
}

function staleIncarnation(id: string, given: number, current: number): WrennError {
  return new WrennError("stale_incarnation", `The sandbox ${id} is at incarnation ${current}, not ${given}`);
}

function reasonOf(exit: VmExit): string {
  if (exit.oom === true) return "the VM was killed: the host ran out of memory for it";
  switch (exit.kind) {
    case "exit":
      return exit.code === 0 ? "the guest shut down" : `the VM ended with exit status ${exit.code}`;
    case "signal":
      return `the VM was killed by ${exit.signal}`;
    case "lost":
      return "the VM ended together with its shim";
  }
}
