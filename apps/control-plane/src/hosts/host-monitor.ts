/**
 * Follows the one host of this machine: who it is, what it has, and what changes on it. The stream of
 * changes is a hint that makes the reconciler look at one sandbox; connecting makes it look at all.
 */
import { setTimeout as delay } from "node:timers/promises";
import type { FastifyBaseLogger } from "fastify";
import type { AgentClient } from "../agent/agent-client.ts";
import type { Reconciler } from "../reconciler/reconciler.ts";
import { observe } from "../sandboxes/observed.ts";
import type { HostSize } from "../sandboxes/limits.ts";
import type { TemplateStore } from "../templates/template-store.ts";
import type { HostStore } from "./host-store.ts";

/** Name of the host on the control plane's own machine. */
export const LOCAL_HOST = "local";
const FIRST_RETRY_MS = 250;
const LAST_RETRY_MS = 5_000;

export interface HostMonitorOptions {
  hostId: string;
  agent: AgentClient;
  hosts: HostStore;
  templates: TemplateStore;
  reconciler: Reconciler;
  log: FastifyBaseLogger;
}

export class HostMonitor {
  readonly #options: HostMonitorOptions;
  readonly #stop = new AbortController();
  #size: HostSize | undefined;
  #running: Promise<void> | undefined;
  readonly #contact = Promise.withResolvers<void>();

  constructor(options: HostMonitorOptions) {
    this.#options = options;
  }

  /** The host and what it has, as far as it has said. */
  current(): { id: string; size: HostSize | undefined } {
    return { id: this.#options.hostId, size: this.#size };
  }

  /** Settles when the host has told once who it is and which templates it has. */
  get firstContact(): Promise<void> {
    return this.#contact.promise;
  }

  start(): void {
    this.#running ??= this.#follow();
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#running;
  }

  async #follow(): Promise<void> {
    const { hostId, hosts, log } = this.#options;
    const { signal } = this.#stop;
    let retryMs = FIRST_RETRY_MS;
    while (!signal.aborted) {
      try {
        await this.#watch(signal, () => (retryMs = FIRST_RETRY_MS));
        log.info("the host agent ended its stream of changes");
      } catch (error) {
        if (signal.aborted) return;
        log.warn({ err: error, retryMs }, "cannot follow the host agent");
      }
      await hosts
        .recordUnreachable(hostId)
        .catch((error: unknown) => log.warn({ err: error }, "cannot record that the host is unreachable"));
      await delay(retryMs, undefined, { signal, ref: false }).catch(() => undefined);
      retryMs = Math.min(retryMs * 2, LAST_RETRY_MS);
    }
  }

  async #watch(signal: AbortSignal, connected: () => void): Promise<void> {
    const { agent, log, reconciler } = this.#options;
    for await (const { event } of agent.watchSandboxes(signal)) {
      if (event.case === "ready") {
        await this.#connect();
        connected();
        log.info("connected to the host agent");
        reconciler.all();
      } else if (event.case === "changed") {
        const observed = observe(event.value);
        if (observed !== undefined) reconciler.hint(observed);
      }
    }
  }

  async #connect(): Promise<void> {
    const { agent, hostId, hosts, templates } = this.#options;
    const host = await agent.getHost({ signal: this.#stop.signal });
    const facts = {
      version: host.version,
      vmm: host.vmm,
      vmmVersion: host.vmmVersion,
      accelerator: host.accelerator,
      vcpus: host.vcpus,
      memoryMib: Number(host.memoryTotalMib),
    };
    this.#size = { vcpus: facts.vcpus, memoryMib: facts.memoryMib };
    await hosts.recordOnline(hostId, facts);
    await templates.upsertBuiltin(
      hostId,
      host.templates.map(({ name, buildId, defaultResources, sizeBytes }) => ({
        name,
        buildId,
        vcpus: defaultResources?.vcpus ?? 1,
        memoryMib: defaultResources?.memoryMib ?? 512,
        diskMib: defaultResources?.diskMib ?? 1_024,
        sizeBytes: Number(sizeBytes),
      })),
    );
    this.#contact.resolve();
  }
}
