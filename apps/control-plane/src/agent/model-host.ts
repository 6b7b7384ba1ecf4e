/**
 * For tests: a host agent whose sandboxes are only records, to try the control plane against a world of
 * lost calls, lost answers, late calls and deadlines. It serves the real protocol on a real socket.
 * tests/control-plane/host-contract.ts holds it to what the real agent does.
 */
import { createServer, type Server } from "node:http";
import { once } from "node:events";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ConnectRouter } from "@connectrpc/connect";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import type { ErrorCode } from "@wrenn/errors";
import { hostagent } from "@wrenn/protocol";

const { SandboxState } = hostagent;

/** What becomes of a call that changes a sandbox. */
export type Fault =
  /** Not executed; the caller sees a broken connection. */
  | "lose-call"
  /** Executed; the caller sees a broken connection. */
  | "lose-answer"
  /** Not executed yet: on `release`. The caller sees a broken connection at once. */
  | "late"
  /** Executed at once, answered on `release`. */
  | "slow-answer"
  /** Executed and answered on `release`. */
  | "slow"
  /** Refused. */
  | "refuse";

/** What every layer of the model takes. */
const MODEL_LAYER_BYTES = 4_096n;

export interface ModelHostOptions {
  socketPath: string;
  token: string;
  templates: { name: string; buildId: string }[];
}

export class ModelHost {
  readonly sandboxes = new Map<string, hostagent.Sandbox>();
  /** Builds that were made of sandboxes, by id. */
  readonly builds = new Map<string, hostagent.TemplateBuild>();
  /** Ids that the control plane asked to destroy while they existed, in order, with the state they had. */
  readonly destroyed: { id: string; state: hostagent.SandboxState }[] = [];
  /** For the next calls that change a sandbox, in order; undefined: none. */
  faults: (Fault | undefined)[] = [];
  /** How far its clock is ahead of everybody else's. */
  clockSkewMs = 0;
  readonly #options: ModelHostOptions;
  #server: Server | undefined;
  readonly #watchers = new Set<(sandbox: hostagent.Sandbox) => void>();
  #held: (() => void)[] = [];
  #onHeld: () => void = () => undefined;
  #stop = new AbortController();

  private constructor(options: ModelHostOptions) {
    this.#options = options;
  }

  async #listen(): Promise<void> {
    this.#stop = new AbortController();
    const { token, socketPath } = this.#options;
    const handler = connectNodeAdapter({ routes: (router) => this.#routes(router), shutdownSignal: this.#stop.signal });
    this.#server = createServer({ keepAliveTimeout: 60_000 }, (request, response) => {
      if (request.headers.authorization === `Bearer ${token}`) return handler(request, response);
      response
        .writeHead(401, { "content-type": "application/json" })
        .end('{"code":"unauthenticated","message":"wrong token"}');
    });
    this.#server.listen(socketPath);
    await once(this.#server, "listening");
  }

  static async start(options: ModelHostOptions): Promise<ModelHost> {
    const host = new ModelHost(options);
    await host.#listen();
    return host;
  }

  async stop(): Promise<void> {
    this.release();
    await this.#close();
  }

  /** Its process is killed and started again: every connection breaks, and calls that were under way are forgotten. */
  async restart(): Promise<void> {
    this.#held = [];
    await this.#close();
    await this.#listen();
  }

  async #close(): Promise<void> {
    const server = this.#server;
    if (server === undefined) return;
    this.#stop.abort();
    server.close();
    server.closeAllConnections();
    await once(server, "close");
  }

  /** Settles when a call is held back. */
  async untilHeld(): Promise<void> {
    if (this.#held.length > 0) return;
    await new Promise<void>((resolve) => (this.#onHeld = resolve));
  }

  /** Lets everything that is held back happen. */
  release(): void {
    const held = this.#held;
    this.#held = [];
    for (const go of held) go();
  }

  /** The host pauses a running sandbox by itself. */
  pauseAtDeadline(id: string): void {
    this.#change(id, SandboxState.RUNNING, (sandbox) =>
      Object.assign(sandbox, { state: SandboxState.PAUSED, resumable: true, storedBytes: MODEL_LAYER_BYTES }),
    );
  }

  /** The host destroys a running sandbox by itself. */
  destroyAtDeadline(id: string): void {
    const sandbox = this.sandboxes.get(id);
    if (sandbox?.state !== SandboxState.RUNNING) return;
    this.sandboxes.delete(id);
    this.#tell({ ...sandbox, state: SandboxState.GONE, reason: "its idle timeout ended" });
  }

  /** The VM of a running sandbox dies. */
  crash(id: string): void {
    this.#change(id, SandboxState.RUNNING, (sandbox) =>
      Object.assign(sandbox, { state: SandboxState.FAILED, reason: "its VM died" }),
    );
  }

  /** How the guest of a running sandbox answers changes. */
  sayHealth(id: string, health: hostagent.Health): void {
    this.#change(id, SandboxState.RUNNING, (sandbox) => Object.assign(sandbox, { health }));
  }

  #change(id: string, from: hostagent.SandboxState, change: (sandbox: hostagent.Sandbox) => void): void {
    const sandbox = this.sandboxes.get(id);
    if (sandbox?.state !== from) return;
    change(sandbox);
    this.#tell(sandbox);
  }

  #tell(sandbox: hostagent.Sandbox): void {
    for (const watcher of this.#watchers) watcher({ ...sandbox });
  }

  /** Executes a changing call as its fault says. */
  async #execute<T>(work: () => T): Promise<T> {
    const fault = this.faults.shift();
    switch (fault) {
      case undefined:
        return work();
      case "lose-call":
        throw lost();
      case "lose-answer":
        work();
        throw lost();
      case "late":
        this.#hold(() => {
          try {
            work();
          } catch {
            // refused, and nobody is there to be told
          }
        });
        throw lost();
      case "slow-answer": {
        const result = work();
        await this.#untilReleased();
        return result;
      }
      case "slow":
        await this.#untilReleased();
        return work();
      case "refuse":
        throw refusal(Code.ResourceExhausted, "capacity", "Cannot do it: no room");
    }
  }

  async #untilReleased(): Promise<void> {
    await new Promise<void>((resolve) => this.#hold(resolve));
  }

  #hold(go: () => void): void {
    this.#held.push(go);
    this.#onHeld();
  }

  #routes(router: ConnectRouter): void {
    router.service(hostagent.HostAgentService, {
      getHost: () => ({
        version: "0",
        vmm: "model",
        accelerator: "none",
        vcpus: 2,
        memoryTotalMib: 4_096n,
        templates: this.#options.templates.map(({ name, buildId }) => ({
          name,
          buildId,
          defaultResources: { vcpus: 1, memoryMib: 512, diskMib: 2_048 },
          sizeBytes: 1n,
        })),
      }),
      createSandbox: (request) => this.#execute(() => this.#create(request)),
      getSandbox: ({ id }) => ({ sandbox: this.#find(id) }),
      listSandboxes: () => ({ sandboxes: [...this.sandboxes.values()].toSorted((a, b) => (a.id < b.id ? -1 : 1)) }),
      destroySandbox: (request) => this.#execute(() => this.#destroy(request)),
      pauseSandbox: (request) => this.#execute(() => this.#pause(request)),
      resumeSandbox: (request) => this.#execute(() => this.#resume(request)),
      forkSandbox: (request) => this.#execute(() => this.#fork(request)),
      snapshotSandbox: (request) => this.#execute(() => this.#snapshot(request)),
      listTemplateBuilds: () => ({ builds: [...this.builds.values()] }),
      deleteTemplateBuild: ({ buildId }) =>
        this.#execute(() => {
          this.builds.delete(buildId);
          return { deferred: [...this.sandboxes.values()].some((sandbox) => sandbox.templateBuildId === buildId) };
        }),
      verifyTemplateBuild: ({ buildId }) => {
        if (!this.builds.has(buildId)) throw refusal(Code.NotFound, "not_found", `Cannot find build ${buildId}`);
        return { files: [{ name: "mem", bytes: 1n, intact: true }] };
      },
      setSandboxDeadline: ({ id, incarnation, deadline }) => {
        const sandbox = this.#current(id, incarnation);
        if (sandbox.state !== SandboxState.RUNNING)
          throw refusal(Code.FailedPrecondition, "invalid_state", "Cannot set the deadline: it does not run");
        if (deadline !== undefined) sandbox.deadline = deadline;
        return { sandbox };
      },
      watchSandboxes: (_, { signal }) => this.#watch(AbortSignal.any([signal, this.#stop.signal])),
    });
  }

  #create(request: hostagent.CreateSandboxRequest) {
    const present = this.sandboxes.get(request.id);
    if (present !== undefined) {
      if (present.incarnation === request.incarnation) return { sandbox: present };
      throw refusal(Code.FailedPrecondition, "stale_incarnation", "Cannot create: another incarnation exists");
    }
    const known = this.#options.templates.some(({ buildId }) => buildId === request.templateBuildId);
    if (!known && !this.builds.has(request.templateBuildId)) {
      throw refusal(Code.NotFound, "not_found", `Cannot find build ${request.templateBuildId}`);
    }
    const { id, incarnation, templateBuildId, resources, deadline } = request;
    const sandbox = create(hostagent.SandboxSchema, {
      id,
      incarnation,
      templateBuildId,
      state: SandboxState.RUNNING,
      lastActiveAt: this.#now(),
      ...(resources === undefined ? {} : { resources }),
      ...(deadline === undefined ? {} : { deadline }),
    });
    this.sandboxes.set(id, sandbox);
    this.#tell(sandbox);
    return { sandbox };
  }

  #fork({ id, incarnation, children }: hostagent.ForkSandboxRequest) {
    const present = children.map((child) => this.sandboxes.get(child.id));
    if (present.every((sandbox) => sandbox !== undefined)) return { children: present };
    const source = this.#current(id, incarnation);
    if (source.state !== SandboxState.RUNNING && source.state !== SandboxState.PAUSED)
      throw refusal(Code.FailedPrecondition, "invalid_state", "Cannot fork: it neither runs nor is paused");
    const made = children.map((child) => {
      const sandbox = create(hostagent.SandboxSchema, {
        id: child.id,
        incarnation: child.incarnation,
        templateBuildId: source.templateBuildId,
        state: SandboxState.RUNNING,
        lastActiveAt: this.#now(),
        ...(source.resources === undefined ? {} : { resources: source.resources }),
        ...(child.deadline === undefined ? {} : { deadline: child.deadline }),
      });
      this.sandboxes.set(child.id, sandbox);
      this.#tell(sandbox);
      return sandbox;
    });
    return { children: made };
  }

  #snapshot({ id, incarnation, buildId, name }: hostagent.SnapshotSandboxRequest) {
    const source = this.#current(id, incarnation);
    if (source.state !== SandboxState.RUNNING && source.state !== SandboxState.PAUSED)
      throw refusal(Code.FailedPrecondition, "invalid_state", "Cannot snapshot: it neither runs nor is paused");
    const build = create(hostagent.TemplateBuildSchema, {
      buildId,
      name,
      ...(source.resources === undefined ? {} : { resources: source.resources }),
      sizeBytes: MODEL_LAYER_BYTES,
    });
    this.builds.set(buildId, build);
    return { build };
  }

  #destroy({ id, incarnation }: hostagent.DestroySandboxRequest) {
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) return {};
    if (incarnation !== 0n && incarnation < sandbox.incarnation) throw stale(id);
    this.sandboxes.delete(id);
    this.destroyed.push({ id, state: sandbox.state });
    this.#tell({ ...sandbox, state: SandboxState.GONE, reason: "it was asked for" });
    return {};
  }

  #pause({ id, incarnation }: hostagent.PauseSandboxRequest) {
    const sandbox = this.#current(id, incarnation);
    if (sandbox.state === SandboxState.PAUSED) return { sandbox };
    if (sandbox.state !== SandboxState.RUNNING)
      throw refusal(Code.FailedPrecondition, "invalid_state", "Cannot pause: it does not run");
    Object.assign(sandbox, { state: SandboxState.PAUSED, resumable: true, storedBytes: MODEL_LAYER_BYTES });
    this.#tell(sandbox);
    return { sandbox };
  }

  #resume({ id, incarnation, deadline }: hostagent.ResumeSandboxRequest) {
    const sandbox = this.#find(id);
    if (sandbox.incarnation === incarnation && sandbox.state === SandboxState.RUNNING) return { sandbox };
    if (incarnation !== sandbox.incarnation + 1n) throw stale(id);
    if (!sandbox.resumable || sandbox.state === SandboxState.RUNNING)
      throw refusal(Code.FailedPrecondition, "invalid_state", "Cannot resume: it is not paused");
    Object.assign(sandbox, {
      state: SandboxState.RUNNING,
      lastActiveAt: this.#now(),
      incarnation,
      reason: "",
      deadline: deadline ?? sandbox.deadline,
    });
    this.#tell(sandbox);
    return { sandbox };
  }

  #now() {
    return timestampFromMs(Date.now() + this.clockSkewMs);
  }

  #find(id: string): hostagent.Sandbox {
    const sandbox = this.sandboxes.get(id);
    if (sandbox === undefined) throw refusal(Code.NotFound, "not_found", `Cannot find sandbox ${id}`);
    return sandbox;
  }

  #current(id: string, incarnation: bigint): hostagent.Sandbox {
    const sandbox = this.#find(id);
    if (incarnation !== sandbox.incarnation) throw stale(id);
    return sandbox;
  }

  async *#watch(
    signal: AbortSignal,
  ): AsyncGenerator<{ event: { case: "ready"; value: object } | { case: "changed"; value: hostagent.Sandbox } }> {
    const queue: hostagent.Sandbox[] = [];
    let wake: () => void = () => undefined;
    const watcher = (sandbox: hostagent.Sandbox) => {
      queue.push(sandbox);
      wake();
    };
    signal.addEventListener("abort", () => wake(), { once: true });
    this.#watchers.add(watcher);
    try {
      yield { event: { case: "ready", value: {} } };
      while (!signal.aborted) {
        for (let sandbox = queue.shift(); sandbox !== undefined; sandbox = queue.shift())
          yield { event: { case: "changed", value: sandbox } };
        if (!signal.aborted) await new Promise<void>((resolve) => (wake = resolve));
      }
    } finally {
      this.#watchers.delete(watcher);
    }
  }
}

function lost(): ConnectError {
  return new ConnectError("the connection broke", Code.Unavailable);
}

function stale(id: string): ConnectError {
  return refusal(
    Code.FailedPrecondition,
    "stale_incarnation",
    `Cannot change sandbox ${id}: it has another incarnation`,
  );
}

function refusal(code: Code, detail: ErrorCode, message: string): ConnectError {
  return new ConnectError(message, code, undefined, [
    { desc: hostagent.ErrorDetailSchema, value: { code: detail, hint: "" } },
  ]);
}
