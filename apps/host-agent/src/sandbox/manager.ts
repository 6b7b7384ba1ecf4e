/**
 * The sandboxes of this host, as the RPC layer and the reaper use them. Requests may be canceled by
 * nobody but `destroy`: a client that goes away changes nothing. Each operation has its own file.
 */
import type { GuestAgent } from "../envd/guest-agent.ts";
import { holdPresentLayer, type HeldLayer } from "./checkpoint.ts";
import { readConsole } from "../vmm/shim.ts";
import { create } from "./create.ts";
import { destroy } from "./destroy.ts";
import { DiskGuard } from "./disk-guard.ts";
import { assertIncarnation, assertRunning, touch, viewOf } from "./entry.ts";
import type { CreateRequest, ManagerOptions, OperationResult, RunningSandbox, SandboxView } from "./entry.ts";
import { fork, type ForkRequest } from "./fork.ts";
import { HealthMonitor } from "./health.ts";
import { pause, type PauseOptions } from "./pause.ts";
import type { Operation } from "./operation-log.ts";
import type { Deadline } from "./record.ts";
import { detach, recover } from "./recovery.ts";
import { Registry } from "./registry.ts";
import { resume, type ResumeOptions } from "./resume.ts";
import { snapshot, type SnapshotRequest } from "./snapshot.ts";
import type { Stage } from "./stages.ts";
import { storedBytes } from "./stored-bytes.ts";
import { TemplateOperations } from "./template-operations.ts";

export type { CreateRequest, ManagerOptions, RunningSandbox, SandboxView } from "./entry.ts";

export class SandboxManager {
  readonly #registry: Registry;
  readonly #health: HealthMonitor;
  readonly #diskGuard: DiskGuard;
  readonly events: Registry["events"];
  readonly templates: TemplateOperations;

  constructor(options: ManagerOptions) {
    this.#registry = new Registry(options);
    this.events = this.#registry.events;
    this.templates = new TemplateOperations(options);
    this.#health = new HealthMonitor(this.#registry, options.healthIntervalMs);
    this.#diskGuard = new DiskGuard(this.#registry);
  }

  list(): SandboxView[] {
    return this.#registry
      .entries()
      .map((entry) => viewOf(entry))
      .sort((a, b) => (a.id < b.id ? -1 : 1));
  }

  /** Of all sandboxes of this host, in whatever state. */
  ids(): string[] {
    return this.#registry.entries().map(({ record }) => record.id);
  }

  /** @throws WrennError `not_found` */
  get(id: string): SandboxView {
    return viewOf(this.#registry.entry(id));
  }

  /** Allocated bytes of the layers of a sandbox and of the disks that belong to them. */
  async storedBytes(id: string): Promise<number> {
    const { record } = this.#registry.entry(id);
    const livePath = record.state === "paused" ? undefined : record.disk?.path;
    return await storedBytes(this.#registry.options.records.paths(id), livePath);
  }

  async create(request: CreateRequest): Promise<OperationResult> {
    return await create(this.#registry, request);
  }

  async pause(id: string, incarnation: number, options?: PauseOptions): Promise<OperationResult> {
    return await pause(this.#registry, id, incarnation, options);
  }

  /** Makes children that go on from a sandbox's present state: all of them or none. */
  async fork(request: ForkRequest): ReturnType<typeof fork> {
    return await fork(this.#registry, request);
  }

  /** Makes a template build of a sandbox's present state. */
  async snapshot(request: SnapshotRequest): ReturnType<typeof snapshot> {
    return await snapshot(this.#registry, request);
  }

  /** The present state of a running or paused sandbox, which goes on. */
  async holdPresentLayer(id: string, incarnation: number): Promise<HeldLayer> {
    return await holdPresentLayer(this.#registry, id, incarnation);
  }

  async resume(
    id: string,
    incarnation: number,
    deadline: Deadline | undefined,
    options?: ResumeOptions,
  ): Promise<OperationResult> {
    return await resume(this.#registry, id, incarnation, deadline, options);
  }

  /** @param incarnation 0: whichever there is */
  async destroy(id: string, incarnation: number, reason?: string): Promise<Stage[]> {
    return await destroy(this.#registry, id, incarnation, reason);
  }

  /** Sets when a sandbox ends; counts as activity. */
  async setDeadline(id: string, incarnation: number, deadline: Deadline | undefined): Promise<SandboxView> {
    const entry = this.#registry.entry(id);
    return await this.#registry.locked(id, async () => {
      assertIncarnation(entry, incarnation);
      assertRunning(entry);
      touch(entry);
      if (deadline !== undefined) {
        entry.record.deadline = deadline;
        await this.#registry.enter(entry, "running");
      }
      return viewOf(entry);
    });
  }

  /**
   * Gives access to a running guest. The sandbox is active until the returned lease is disposed.
   * @throws WrennError `not_found`, `stale_incarnation`, `invalid_state`
   */
  use(id: string, incarnation: number): { agent: GuestAgent } & Disposable {
    const entry = this.#registry.entry(id);
    assertIncarnation(entry, incarnation);
    const { agent } = assertRunning(entry);
    entry.uses++;
    touch(entry);
    let open = true;
    return {
      agent,
      [Symbol.dispose]: () => {
        if (!open) return;
        open = false;
        entry.uses--;
        touch(entry);
      },
    };
  }

  /** The sandboxes whose guests run, with what is needed to measure them. */
  running(): RunningSandbox[] {
    return this.#registry
      .entries()
      .flatMap(({ record, guest, uses, health }) =>
        guest === undefined
          ? []
          : [{ id: record.id, pid: guest.vm.pid, slot: guest.slot, diskPath: record.disk?.path ?? "", uses, health }],
      );
  }

  /** What was done to a sandbox, oldest first. @throws WrennError `not_found` */
  async operations(id: string): Promise<Operation[]> {
    const { record } = this.#registry.entry(id);
    return await this.#registry.operations.read(this.#registry.options.records.paths(record.id).root);
  }

  /** Console output of the last VM: the older half and the newer one. @throws WrennError `not_found` */
  async console(id: string): Promise<Buffer> {
    const { record } = this.#registry.entry(id);
    return await readConsole(this.#registry.options.records.paths(record.id).root);
  }

  /** Settles when the operations on a sandbox that were asked for before have ended. */
  async settled(id: string): Promise<void> {
    await this.#registry.locked(id, async () => undefined);
  }

  /**
   * A running guest, to look at it: unlike `use`, that is no activity.
   * @throws WrennError `not_found`, `stale_incarnation`, `invalid_state`
   */
  guest(id: string, incarnation: number): GuestAgent {
    const entry = this.#registry.entry(id);
    assertIncarnation(entry, incarnation);
    return assertRunning(entry).agent;
  }

  /**
   * The directory in which the shim of a sandbox's VM keeps its console.
   * @throws WrennError `not_found`
   */
  consoleDirectory(id: string): string {
    return this.#registry.options.records.paths(this.#registry.entry(id).record.id).root;
  }

  /** When a sandbox was last used; now, while a stream or transfer is under way. */
  activity(id: string): { inUse: boolean; lastActiveAtMs: number } | undefined {
    const entry = this.#registry.find(id);
    return entry === undefined ? undefined : { inUse: entry.uses > 0, lastActiveAtMs: entry.lastActiveAtMs };
  }

  /** Finishes or undoes what an earlier agent left, adopts the guests that still run, and watches them. */
  async recover(): Promise<void> {
    await recover(this.#registry);
    this.#health.start();
    this.#diskGuard.start();
  }

  /** Lets go of every guest without ending it, after the operations under way. */
  async detach(): Promise<void> {
    this.#health.stop();
    this.#diskGuard.stop();
    await detach(this.#registry);
  }
}
