/**
 * The sandboxes of this host and what every operation on them shares: one lock per sandbox, every
 * transition in the durable record before its first side effect, and an event behind it.
 */
import { EventEmitter } from "node:events";
import { WrennError } from "@wrenn/errors";
import type { GuestTemplate } from "@wrenn/guest";
import { assertRoom } from "./admission.ts";
import { newEntry, touch, viewOf, type Entry, type ManagerOptions, type SandboxView } from "./entry.ts";
import { KeyedMutex } from "./keyed-mutex.ts";
import { Lifecycle, type StartedGuest } from "./lifecycle.ts";
import { OperationLog, type Operation } from "./operation-log.ts";
import type { SandboxRecord, SandboxState } from "./record.ts";
import type { Stages } from "./stages.ts";
import { WorkingSets } from "./working-sets.ts";

interface ManagerEvents {
  changed: [SandboxView, gone: boolean];
  operation: [Operation];
}

export class Registry {
  readonly options: ManagerOptions;
  readonly lifecycle: Lifecycle;
  readonly events = new EventEmitter<ManagerEvents>();
  /** Aborted when this agent lets go of its sandboxes: ends what runs behind them. */
  readonly closing = new AbortController();
  readonly operations = new OperationLog();
  readonly workingSets: WorkingSets;
  readonly #entries = new Map<string, Entry>();
  readonly #mutex = new KeyedMutex();

  constructor(options: ManagerOptions) {
    this.options = options;
    this.workingSets = new WorkingSets(options.log);
    this.lifecycle = new Lifecycle({
      ...options,
      defaultUserOf: (buildId) => this.template(buildId)?.defaultUser,
    });
    this.events.setMaxListeners(0);
  }

  entries(): Entry[] {
    return [...this.#entries.values()];
  }

  find(id: string): Entry | undefined {
    return this.#entries.get(id);
  }

  /** @throws WrennError `not_found` */
  entry(id: string): Entry {
    const entry = this.#entries.get(id);
    if (entry === undefined) throw new WrennError("not_found", `There is no sandbox ${id} on this host`);
    return entry;
  }

  add(record: SandboxRecord): Entry {
    const entry = newEntry(record);
    this.#entries.set(record.id, entry);
    return entry;
  }

  template(buildId: string): GuestTemplate | undefined {
    return this.options.manifest.templates.find((template) => template.buildId === buildId);
  }

  /** @throws WrennError `capacity` unless the host has room for this guest beside all that are being started */
  async assertRoom(entry: Entry): Promise<void> {
    const { stateDirectory, reserves } = this.options;
    const starting = this.entries().filter(
      (other) => other !== entry && (other.record.state === "creating" || other.record.state === "resuming"),
    );
    await assertRoom(
      stateDirectory,
      reserves,
      starting.map(({ record }) => record.resources),
      entry.record.resources,
    );
  }

  /** Runs `work` as the only operation on a sandbox. */
  async locked<T>(id: string, work: () => Promise<T>): Promise<T> {
    return await this.#mutex.run(id, undefined, work);
  }

  /** Makes a transition: durable first, then told to others. When it cannot be written it has not happened. */
  async enter(entry: Entry, state: SandboxState, reason?: string): Promise<void> {
    const { record } = entry;
    const before = { state: record.state, reason: record.reason };
    Object.assign(record, { state, reason, lastActiveAt: new Date(entry.lastActiveAtMs).toISOString() });
    try {
      await this.options.records.write(record);
    } catch (error) {
      Object.assign(record, before);
      throw error;
    } finally {
      this.options.retention.changed("sandboxes", record.id);
    }
    if (before.state !== state) entry.health = "responsive"; // until it is asked
    this.events.emit("changed", viewOf(entry), false);
  }

  /** Makes a guest that was started served, and tells others. */
  async serve(entry: Entry, { guest, record: staged }: StartedGuest): Promise<void> {
    entry.guest = guest;
    touch(entry);
    await staged.commit();
    const { record } = entry;
    record.state = "running";
    record.reason = undefined;
    entry.health = "responsive"; // until it is asked
    this.options.retention.changed("sandboxes", record.id);
    this.events.emit("changed", viewOf(entry), false);
  }

  /**
   * Notes what has happened already, also when it cannot be written: what the record says instead leads the next
   * agent to the same state. Never fails.
   */
  async settle(entry: Entry, state: SandboxState, reason?: string): Promise<void> {
    const { record } = entry;
    try {
      await this.enter(entry, state, reason);
    } catch (error) {
      this.options.log.error({ operation: "record", id: record.id, state, err: error });
      this.tell(entry, state, reason);
    }
  }

  /** Tells others of a state to which the written record leads, though it says another one. */
  tell(entry: Entry, state: SandboxState, reason?: string): void {
    Object.assign(entry.record, { state, reason });
    this.events.emit("changed", viewOf(entry), false);
  }

  /** Ends a sandbox; its files go unless others stand on them. A crash before its record is gone goes on here. */
  async discard(entry: Entry): Promise<void> {
    const { guest } = entry;
    entry.guest = undefined;
    await this.lifecycle.tearDown(entry.record, guest);
    await entry.rewriting; // it writes there; destroy has told it to end
    const { records, retention } = this.options;
    const { id } = entry.record;
    await records.remove(id);
    this.#entries.delete(id);
    retention.changed("sandboxes", id);
    this.events.emit("changed", viewOf(entry), true);
    await retention.collect();
  }

  /** Logs an operation that has ended, and keeps its record. */
  logOperation(operation: string, { id, incarnation }: SandboxRecord, stages: Stages, thrown?: unknown): void {
    const { log, records } = this.options;
    const { durationMs } = stages;
    const facts = { operation, incarnation, durationMs, stages: stages.list };
    if (thrown === undefined) log.info({ ...facts, id });
    else log.error({ ...facts, id, err: thrown });
    const startedAt = stages.startedAt.toISOString();
    const error = thrown === undefined ? undefined : WrennError.from(thrown);
    const ended = {
      ...facts,
      startedAt,
      ...(error === undefined ? {} : { error: { code: error.code, message: error.publicMessage } }),
    };
    this.events.emit("operation", ended);
    this.operations
      .append(records.paths(id).root, ended)
      .catch((cause: unknown) => log.warn({ operation: "operation-log", id, err: cause }));
  }
}
