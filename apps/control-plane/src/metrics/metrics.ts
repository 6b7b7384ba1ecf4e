/**
 * What the control plane tells Prometheus. Events are counted as they happen; what is in the database is
 * read when it is asked for. docs/reference/operations.md lists every series.
 */
import { sql } from "kysely";
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from "prom-client";
import type { Database } from "../database/connect.ts";
import { SANDBOX_STATES } from "../sandboxes/state.ts";

const REQUEST_BUCKETS_SEC = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];
const OPERATION_BUCKETS_SEC = [0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];
const PREFIX = "wrenn_control_plane_";

export class Metrics {
  readonly #registry = new Registry();
  readonly requests: Histogram<"method" | "route" | "status">;
  readonly operations: Histogram<"operation" | "outcome">;
  readonly reconciliations: Histogram;
  readonly corrections: Counter<"action">;
  readonly webhookAttempts: Counter<"outcome">;
  readonly rateLimited: Counter;
  readonly streams: Gauge<"kind">;

  constructor(database: Database) {
    const registers = [this.#registry];
    collectDefaultMetrics({ register: this.#registry, prefix: PREFIX });
    this.requests = new Histogram({
      name: `${PREFIX}http_request_duration_seconds`,
      help: "How long requests took, until their answer was sent",
      labelNames: ["method", "route", "status"],
      buckets: REQUEST_BUCKETS_SEC,
      registers,
    });
    this.operations = new Histogram({
      name: `${PREFIX}operation_duration_seconds`,
      help: "How long operations on sandboxes took",
      labelNames: ["operation", "outcome"],
      buckets: OPERATION_BUCKETS_SEC,
      registers,
    });
    this.reconciliations = new Histogram({
      name: `${PREFIX}reconcile_duration_seconds`,
      help: "How long it took to compare all sandboxes with their host",
      buckets: OPERATION_BUCKETS_SEC,
      registers,
    });
    this.corrections = new Counter({
      name: `${PREFIX}reconcile_corrections_total`,
      help: "What was done so that database and host agree",
      labelNames: ["action"],
      registers,
    });
    this.webhookAttempts = new Counter({
      name: `${PREFIX}webhook_attempts_total`,
      help: "Attempts to deliver an event to a webhook",
      labelNames: ["outcome"],
      registers,
    });
    this.rateLimited = new Counter({
      name: `${PREFIX}rate_limited_requests_total`,
      help: "Requests that were refused because their caller makes too many",
      registers,
    });
    this.streams = new Gauge({
      name: `${PREFIX}streams`,
      help: "WebSockets and event streams that are open",
      labelNames: ["kind"],
      registers,
    });
    this.#readDatabase(database, registers);
  }

  /** The exposition, and its content type. */
  async expose(): Promise<{ contentType: string; text: string }> {
    return { contentType: this.#registry.contentType, text: await this.#registry.metrics() };
  }

  #readDatabase(database: Database, registers: Registry[]): void {
    const gauge = (name: string, help: string, labelNames: string[], read: (self: Gauge) => Promise<void>) =>
      new Gauge({
        name: PREFIX + name,
        help,
        labelNames,
        registers,
        async collect() {
          this.reset();
          // without a database the other series are still told
          await read(this).catch(() => undefined);
        },
      });
    gauge("sandboxes", "Sandboxes that are not gone", ["state"], async (self) => {
      const { rows } = await sql<{ state: string; count: number }>`
        select state, count(*)::int as count from sandboxes where state <> 'gone' group by state`.execute(database);
      for (const state of SANDBOX_STATES) if (state !== "gone") self.set({ state }, 0);
      for (const { state, count } of rows) self.set({ state }, count);
    });
    gauge("hosts", "Hosts", ["state"], async (self) => {
      const { rows } = await sql<{ state: string; count: number }>`
        select state, count(*)::int as count from hosts group by state`.execute(database);
      for (const state of ["online", "draining", "unreachable"]) self.set({ state }, 0);
      for (const { state, count } of rows) self.set({ state }, count);
    });
    gauge("webhook_deliveries_waiting", "Events that are still to be delivered to a webhook", [], async (self) => {
      const { rows } = await sql<{ count: number }>`
        select count(*)::int as count from webhook_deliveries where delivered_at is null and failed_at is null`.execute(
        database,
      );
      self.set(rows[0]?.count ?? 0);
    });
  }
}
