/**
 * The host and its sandboxes in Prometheus' text format. Values are read when they are asked for;
 * operations are counted as they end. docs/reference/metrics.md lists every series.
 */
import { readFile, stat } from "node:fs/promises";
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { NetworkPool } from "../network/network.ts";
import type { RunningSandbox } from "../sandbox/manager.ts";
import { readRoom } from "../sandbox/admission.ts";
import type { Operation } from "../sandbox/operation-log.ts";
import { readProcessUsage } from "../vmm/process-usage.ts";

const MIB = 1024 * 1024;
const DURATION_BUCKETS_SEC = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

export interface MetricsOptions {
  stateDirectory: string;
  network: NetworkPool;
  /** Every sandbox's state. */
  states: () => readonly string[];
  running: () => readonly RunningSandbox[];
}

export class Metrics {
  readonly #options: MetricsOptions;
  readonly #registry = new Registry();
  readonly #durations: Histogram<"operation" | "outcome">;
  readonly #bytes: Counter<"operation" | "stage">;
  readonly #pages: Counter<"operation" | "stage" | "kind">;

  constructor(options: MetricsOptions) {
    this.#options = options;
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry, prefix: "wrenn_agent_" });
    this.#durations = new Histogram({
      name: "wrenn_operation_duration_seconds",
      help: "How long operations on sandboxes took",
      labelNames: ["operation", "outcome"],
      buckets: DURATION_BUCKETS_SEC,
      registers,
    });
    this.#bytes = new Counter({
      name: "wrenn_operation_bytes_total",
      help: "Bytes that operations on sandboxes wrote",
      labelNames: ["operation", "stage"],
      registers,
    });
    this.#pages = new Counter({
      name: "wrenn_operation_pages_total",
      help: "Pages of guests' memory that operations captured or gave, by kind",
      labelNames: ["operation", "stage", "kind"],
      registers,
    });
  }

  /** Counts an operation that has ended. */
  observe({ operation, durationMs, stages, error }: Operation): void {
    this.#durations.observe({ operation, outcome: error?.code ?? "success" }, durationMs / 1_000);
    for (const { name: stage, bytes, pages = {} } of stages) {
      if (bytes > 0) this.#bytes.inc({ operation, stage }, bytes);
      for (const [kind, count] of Object.entries(pages)) this.#pages.inc({ operation, stage, kind }, count);
    }
  }

  /** The exposition, and its content type. */
  async expose(): Promise<{ contentType: string; text: string }> {
    // a registry of its own per answer: what is gone leaves no series behind, and two answers do not mix
    const now = new Registry();
    await Promise.all([this.#host(now), this.#sandboxes(now)]);
    const merged = Registry.merge([this.#registry, now]);
    return { contentType: merged.contentType, text: await merged.metrics() };
  }

  async #host(registry: Registry): Promise<void> {
    const room = await readRoom(this.#options.stateDirectory);
    const gauge = gaugesOf(registry);
    gauge("wrenn_host_memory_bytes", "Memory of the host").set(room.memoryTotalMib * MIB);
    gauge("wrenn_host_memory_available_bytes", "Memory that is left").set(room.memoryAvailableMib * MIB);
    gauge("wrenn_host_disk_available_bytes", "Disk that is left for the state directory").set(
      room.diskAvailableMib * MIB,
    );
    gauge("wrenn_host_threads_available", "Processes and threads that the kernel would still make").set(
      room.threadsAvailable,
    );
    const states = gauge("wrenn_host_sandboxes", "Sandboxes by state", ["state"]);
    for (const state of this.#options.states()) states.inc({ state });
  }

  async #sandboxes(registry: Registry): Promise<void> {
    const gauge = gaugesOf(registry);
    const counter = (name: string, help: string, labels: string[] = []) =>
      new Counter({ name, help, labelNames: ["sandbox", ...labels], registers: [registry] });
    const cpu = counter("wrenn_sandbox_cpu_seconds_total", "CPU time of the VM");
    const memory = gauge("wrenn_sandbox_memory_bytes", "Memory of the VM", ["sandbox", "kind"]);
    const threads = gauge("wrenn_sandbox_threads", "Threads of the VM", ["sandbox"]);
    const faults = counter("wrenn_sandbox_page_faults_total", "Page faults of the VM", ["kind"]);
    const disk = gauge("wrenn_sandbox_disk_bytes", "Disk that the sandbox has written", ["sandbox"]);
    const network = counter("wrenn_sandbox_network_bytes_total", "Bytes on the network, as the guest sees them", [
      "direction",
    ]);
    const connections = gauge("wrenn_sandbox_connections", "Connections of the sandbox's network", ["sandbox"]);
    const streams = gauge("wrenn_sandbox_streams", "Processes followed and files transferred now", ["sandbox"]);
    const health = gauge("wrenn_sandbox_responsive", "1 when the guest answers, else 0", ["sandbox"]);
    const one = async ({ id, pid, slot, diskPath, uses, health: state }: RunningSandbox): Promise<void> => {
      const [usage, bytes, tracked, written] = await Promise.all([
        readProcessUsage(pid),
        this.#options.network.counters(slot).catch(() => undefined),
        readConnections(pid),
        stat(diskPath).then(
          ({ blocks }) => blocks * 512,
          () => undefined,
        ),
      ]);
      if (usage === undefined) return; // it has just ended
      cpu.inc({ sandbox: id }, usage.cpuSeconds);
      memory.set({ sandbox: id, kind: "private" }, usage.privateBytes);
      memory.set({ sandbox: id, kind: "anonymous" }, usage.anonymousBytes);
      threads.set({ sandbox: id }, usage.threads);
      faults.inc({ sandbox: id, kind: "minor" }, usage.minorFaults);
      faults.inc({ sandbox: id, kind: "major" }, usage.majorFaults);
      if (written !== undefined) disk.set({ sandbox: id }, written);
      if (bytes !== undefined) {
        network.inc({ sandbox: id, direction: "received" }, bytes.receivedBytes);
        network.inc({ sandbox: id, direction: "sent" }, bytes.sentBytes);
      }
      connections.set({ sandbox: id }, tracked);
      streams.set({ sandbox: id }, uses);
      health.set({ sandbox: id }, state === "responsive" ? 1 : 0);
    };
    await Promise.all(this.#options.running().map((sandbox) => one(sandbox)));
  }
}

function gaugesOf(registry: Registry) {
  return (name: string, help: string, labelNames: string[] = []) =>
    new Gauge({ name, help, labelNames, registers: [registry] });
}

/** Tracked connections of the network namespace that a process is in; its table's own statistics, hexadecimal. */
async function readConnections(pid: number): Promise<number> {
  const text = await readFile(`/proc/${pid}/net/stat/nf_conntrack`, "utf8").catch(() => "");
  return Number.parseInt(text.split("\n")[1]?.split(" ")[0] ?? "0", 16) || 0;
}
