/**
 * Create, fork, pause, resume, destroy. The row changes first, then the host is asked, then the outcome is
 * recorded; none of it depends on the client, who may be gone. A failed call whose outcome is open is
 * settled by asking the host what became of it.
 */
import { randomBytes } from "node:crypto";
import type { FastifyBaseLogger } from "fastify";
import type { CreateSandboxRequest, ForkSandboxRequest, PauseQuery, ResumeQuery } from "@wrenn/api-schema";
import { WrennError, type ErrorCode } from "@wrenn/errors";
import type { hostagent } from "@wrenn/protocol";
import type { AgentClient } from "../agent/agent-client.ts";
import type { Caller } from "../auth/caller.ts";
import { newId } from "../database/ids.ts";
import type { NewSandboxRow, SandboxRow } from "../database/tables.ts";
import type { Amounts, Quotas } from "../quotas/quotas.ts";
import type { TemplateRow } from "../templates/template-store.ts";
import { deadlineOf } from "./deadline.ts";
import { demandOf, storageOf } from "./demand.ts";
import type { Resolver } from "./resolver.ts";
import { SandboxStore } from "./sandbox-store.ts";
import type { SandboxState } from "./state.ts";
import { wrongState } from "./wrong-state.ts";

/** States that a creation which succeeded on the host finds only when somebody ended the sandbox. */
const ENDED: ReadonlySet<SandboxState> = new Set(["destroying", "gone", "failed"]);

/** What `create` needs beside the request: checked and resolved. */
export interface CreateSpec {
  /** The id of the new sandbox. */
  id: string;
  caller: Pick<Caller, "teamId" | "apiKeyId">;
  hostId: string;
  template: TemplateRow;
  request: CreateSandboxRequest;
  requestId: string;
}

/** What `fork` needs: the sandbox to go on from, and who asks for how many children. */
export interface ForkSpec {
  source: SandboxRow;
  caller: Pick<Caller, "teamId" | "apiKeyId">;
  request: ForkSandboxRequest;
  requestId: string;
}

/** How an operation ended. */
export interface OperationEnd {
  operation: string;
  outcome: "success" | ErrorCode;
  durationMs: number;
}

export class Lifecycle {
  readonly #store: SandboxStore;
  readonly #agent: AgentClient;
  readonly #resolver: Resolver;
  readonly #quotas: Quotas;
  readonly #log: FastifyBaseLogger;
  readonly #underWay = new Set<Promise<unknown>>();
  readonly #onEnd: (end: OperationEnd) => void;

  constructor(options: {
    store: SandboxStore;
    agent: AgentClient;
    resolver: Resolver;
    quotas: Quotas;
    log: FastifyBaseLogger;
    /** Told of every operation that has ended. */
    onEnd?: (end: OperationEnd) => void;
  }) {
    this.#onEnd = options.onEnd ?? (() => undefined);
    this.#store = options.store;
    this.#agent = options.agent;
    this.#resolver = options.resolver;
    this.#quotas = options.quotas;
    this.#log = options.log;
  }

  /** Makes a sandbox and answers when its guest can be used. */
  create(spec: CreateSpec): Promise<SandboxRow> {
    return this.track("create", this.#create(spec));
  }

  /** Makes sandboxes that go on from the state of a running or paused one, which goes on too: all or none. */
  fork(spec: ForkSpec): Promise<SandboxRow[]> {
    return this.track("fork", this.#fork(spec));
  }

  /** Writes a running sandbox to disk, with its memory unless told. */
  pause(row: SandboxRow, requestId: string, options: PauseQuery = { memory: true }): Promise<SandboxRow> {
    return this.track("pause", this.#pause(row, requestId, options));
  }

  /** Starts a paused sandbox again, or a failed one from its last layer. */
  resume(row: SandboxRow, requestId: string, options: ResumeQuery = { memory: true }): Promise<SandboxRow> {
    return this.track("resume", this.#resume(row, requestId, options));
  }

  /** Ends a sandbox in whatever state it is. */
  destroy(row: SandboxRow, requestId: string): Promise<void> {
    return this.track("destroy", this.#destroy(row, requestId));
  }

  /** Waits until no operation is under way, or `signal` aborts. */
  async drain(signal: AbortSignal): Promise<void> {
    const aborted = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    while (this.#underWay.size > 0 && !signal.aborted) {
      await Promise.race([Promise.allSettled(this.#underWay), aborted]);
    }
  }

  async #create({ id, caller, hostId, template, request, requestId }: CreateSpec): Promise<SandboxRow> {
    const row = await this.#insert({
      id,
      team_id: caller.teamId,
      host_id: hostId,
      template_build_id: template.build_id,
      template_name: template.name,
      state: "creating",
      incarnation: 1,
      vcpus: request.vcpus ?? template.vcpus,
      memory_mib: request.memory_mb ?? template.memory_mib,
      disk_mib: request.disk_mb ?? template.disk_mib,
      idle_timeout_sec: request.timeout_sec,
      max_lifetime_sec: request.max_lifetime_sec ?? null,
      on_timeout: request.on_timeout,
      metadata: JSON.stringify(request.metadata ?? {}),
      access_token: randomBytes(24).toString("hex"),
      created_by_key: caller.apiKeyId,
    });
    try {
      const { stages } = await this.#agent.createSandbox(
        {
          id: row.id,
          incarnation: BigInt(row.incarnation),
          templateBuildId: row.template_build_id,
          resources: { vcpus: row.vcpus, memoryMib: row.memory_mib, diskMib: row.disk_mib },
          deadline: deadlineOf(row),
          envs: request.envs ?? {},
          accessToken: row.access_token,
        },
        { requestId },
      );
      this.#record("create", row, requestId, stages);
    } catch (error) {
      return await this.#abandonCreate(row, WrennError.from(error), requestId);
    }
    return await this.#settleCreated(row, requestId);
  }

  async #insert(row: NewSandboxRow): Promise<SandboxRow> {
    const [inserted] = await this.#insertAll(row.team_id, {}, [row]);
    return inserted as SandboxRow;
  }

  /** Writes the rows of new sandboxes, all or none. @throws WrennError `quota_exceeded` */
  async #insertAll(
    teamId: string,
    storage: Pick<Partial<Amounts>, "snapshotBytes">,
    rows: readonly NewSandboxRow[],
  ): Promise<SandboxRow[]> {
    return await this.#quotas.admit(teamId, { ...demandOf(rows), ...storage }, async (transaction) => {
      const store = new SandboxStore(transaction);
      const inserted: SandboxRow[] = [];
      for (const row of rows) inserted.push(await store.insert(row));
      return inserted;
    });
  }

  /** Records that the host made a sandbox. */
  async #settleCreated(row: SandboxRow, requestId: string): Promise<SandboxRow> {
    const created = await this.#finish(row, "running");
    if (created === undefined || ENDED.has(created.state)) {
      // the host may have made it after it was told to destroy it
      await this.#agent.destroySandbox(row.id, { requestId });
      throw new WrennError("conflict", `Cannot create sandbox ${row.id}: it was destroyed meanwhile`);
    }
    if (created.state === "running" && created.end_at !== null) await this.#resolver.sendDeadline(created);
    return created;
  }

  async #fork({ source, caller, request, requestId }: ForkSpec): Promise<SandboxRow[]> {
    if (source.state !== "running" && source.state !== "paused") throw wrongState("fork", source);
    const children = await this.#insertAll(
      source.team_id,
      storageOf(source), // of the layer that they begin from
      Array.from({ length: request.count }, () => ({
        id: newId("sb"),
        team_id: source.team_id,
        host_id: source.host_id,
        template_build_id: source.template_build_id,
        template_name: source.template_name,
        forked_from: source.id,
        state: "creating",
        incarnation: 1,
        vcpus: source.vcpus,
        memory_mib: source.memory_mib,
        disk_mib: source.disk_mib,
        idle_timeout_sec: request.timeout_sec ?? source.idle_timeout_sec,
        max_lifetime_sec: source.max_lifetime_sec,
        on_timeout: source.on_timeout,
        metadata: JSON.stringify(request.metadata ?? source.metadata),
        access_token: randomBytes(24).toString("hex"),
        created_by_key: caller.apiKeyId,
      })),
    );
    try {
      const { stages } = await this.#agent.forkSandbox(
        {
          id: source.id,
          incarnation: BigInt(source.incarnation),
          children: children.map((child) => ({
            id: child.id,
            incarnation: BigInt(child.incarnation),
            deadline: deadlineOf(child),
            accessToken: child.access_token,
          })),
        },
        { requestId },
      );
      this.#record("fork", source, requestId, stages);
    } catch (thrown) {
      const error = WrennError.from(thrown);
      const settled = await Promise.allSettled(children.map((child) => this.#abandonCreate(child, error, requestId)));
      const made = settled.flatMap((child) => (child.status === "fulfilled" ? [child.value] : []));
      if (made.length === children.length) return made;
      // some were seen to run before they could be given up
      await Promise.allSettled(made.map((child) => this.#destroy(child, requestId)));
      throw error;
    }
    return await Promise.all(children.map((child) => this.#settleCreated(child, requestId)));
  }

  /**
   * Nothing is to be left of a creation that failed. When the host has told meanwhile that it made the sandbox,
   * only its answer was lost, and somebody may have seen it run: then it is created.
   * @throws WrennError what the creator is to see
   */
  async #abandonCreate(row: SandboxRow, error: WrennError, requestId: string): Promise<SandboxRow> {
    const failed = await this.#store.transition(
      row.id,
      { to: "failed", reason: error.publicMessage },
      { from: ["creating"] },
    );
    if (failed === undefined) return await this.#settleCreated(row, requestId);
    try {
      await this.#agent.destroySandbox(row.id, { requestId });
      await this.#store.transition(row.id, { to: "gone", reason: error.publicMessage }, { from: ["failed"] });
    } catch (cleanup) {
      this.#log.warn(
        { sandbox: row.id, err: cleanup },
        "cannot clean up after a failed create; the reconciler repeats it",
      );
    }
    throw error;
  }

  async #pause(row: SandboxRow, requestId: string, { memory }: PauseQuery): Promise<SandboxRow> {
    const pausing = await this.#begin(row, "pause", ["running"], { to: "pausing" });
    try {
      const { sandbox, stages } = await this.#agent.pauseSandbox(
        { id: row.id, incarnation: BigInt(pausing.incarnation), diskOnly: !memory },
        { requestId },
      );
      this.#record("pause", pausing, requestId, stages);
      if (sandbox?.storedBytes !== undefined)
        await this.#store.recordStored(new Map([[row.id, Number(sandbox.storedBytes)]]));
    } catch (error) {
      return await this.#settle(pausing, "paused", error);
    }
    const paused = await this.#finish(pausing, "paused", { resumable: true });
    return this.#expect(paused, "paused", "pause");
  }

  async #resume(row: SandboxRow, requestId: string, { memory }: ResumeQuery): Promise<SandboxRow> {
    const from: SandboxState[] = row.resumable ? ["paused", "failed"] : ["paused"];
    const resuming = await this.#begin(row, "resume", from, {
      to: "resuming",
      incarnation: row.incarnation + 1,
      resumable: true,
    });
    try {
      const { stages } = await this.#agent.resumeSandbox(
        {
          id: row.id,
          incarnation: BigInt(resuming.incarnation),
          deadline: deadlineOf({ ...resuming, end_at: null }),
          cold: !memory,
        },
        { requestId },
      );
      this.#record("resume", resuming, requestId, stages);
    } catch (error) {
      return await this.#settle(resuming, "running", error);
    }
    const running = this.#expect(await this.#finish(resuming, "running"), "running", "resume");
    if (running.end_at !== null) await this.#resolver.sendDeadline(running);
    return running;
  }

  async #destroy(row: SandboxRow, requestId: string): Promise<void> {
    if (row.state === "gone") return;
    // without regard to the incarnation: whatever else is under way, this wins
    await this.#store.transition(row.id, { to: "destroying", reason: "it was destroyed by a request" });
    const { stages } = await this.#agent.destroySandbox(row.id, { requestId });
    this.#record("destroy", row, requestId, stages);
    await this.#store.transition(
      row.id,
      { to: "gone", reason: "it was destroyed by a request" },
      { from: ["destroying"] },
    );
  }

  /** @throws WrennError `invalid_state`, or `conflict` when somebody else was faster. */
  async #begin(
    row: SandboxRow,
    verb: string,
    from: readonly SandboxState[],
    change: Parameters<SandboxStore["transition"]>[1],
  ): Promise<SandboxRow> {
    if (!from.includes(row.state)) throw wrongState(verb, row);
    const expected = { from, incarnation: row.incarnation };
    const demand = change.to === "resuming" ? demandOf([row]) : storageOf(row);
    const changed = await this.#quotas.admit(row.team_id, demand, (transaction) =>
      new SandboxStore(transaction).transition(row.id, change, expected),
    );
    if (changed !== undefined) return changed;
    throw new WrennError("conflict", `Cannot ${verb} sandbox ${row.id}: another operation changed it meanwhile`, {
      hint: "Look at its status, then repeat",
    });
  }

  /** Records the outcome; when the reconciler recorded it first, its row is as good. */
  async #finish(
    row: SandboxRow,
    to: "running" | "paused",
    change: { resumable?: boolean } = {},
  ): Promise<SandboxRow | undefined> {
    const changed = await this.#store.transition(
      row.id,
      { to, ...change },
      { from: [row.state], incarnation: row.incarnation },
    );
    return changed ?? (await this.#resolver.resolveOne(row.id));
  }

  /** After a call that failed: success when the host says that it happened all the same. */
  async #settle(row: SandboxRow, wanted: "running" | "paused", error: unknown): Promise<SandboxRow> {
    try {
      const now = await this.#resolver.resolveOne(row.id, { settled: true });
      if (now?.state === wanted && now.incarnation === row.incarnation) return now;
    } catch (cause) {
      this.#log.warn({ sandbox: row.id, err: cause }, "cannot tell how the operation ended; the reconciler will");
    }
    throw error;
  }

  #expect(row: SandboxRow | undefined, state: SandboxState, verb: string): SandboxRow {
    if (row?.state === state) return row;
    throw new WrennError("conflict", `Cannot ${verb} the sandbox: it is ${row?.state ?? "gone"} by now`, {
      hint: "Look at its status and reason",
    });
  }

  /** One record per operation, with its stages. */
  #record(operation: string, row: SandboxRow, requestId: string, stages: readonly hostagent.Stage[]): void {
    const timed = stages.map(({ name, durationMs, bytes, pages }) => ({
      name,
      ms: durationMs,
      ...(bytes === 0n ? {} : { bytes: Number(bytes) }),
      ...(Object.keys(pages).length === 0
        ? {}
        : { pages: Object.fromEntries(Object.entries(pages).map(([kind, count]) => [kind, Number(count)])) }),
    }));
    this.#log.info(
      { sandbox: row.id, incarnation: row.incarnation, operation, requestId, stages: timed },
      "operation finished on the host",
    );
  }

  /** Counts `work` among the operations that `drain` waits for. */
  async track<T>(operation: string, work: Promise<T>): Promise<T> {
    const began = performance.now();
    let outcome: OperationEnd["outcome"] = "success";
    this.#underWay.add(work);
    try {
      return await work;
    } catch (error) {
      outcome = WrennError.from(error).code;
      throw error;
    } finally {
      this.#underWay.delete(work);
      this.#onEnd({ operation, outcome, durationMs: performance.now() - began });
    }
  }
}
