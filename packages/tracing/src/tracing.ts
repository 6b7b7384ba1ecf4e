/**
 * Traces: what was done for a request, in spans within spans, across processes. One tracer per process;
 * until it is started, work runs as it is and nothing is recorded. A trace that a client began, and does
 * not want recorded, is not.
 */
import { AsyncLocalStorage } from "node:async_hooks";
import { randomBytes } from "node:crypto";
import { Exporter } from "./exporter.ts";
import { formatTraceparent, parseTraceparent, type SpanContext } from "./traceparent.ts";

export interface SpanOptions {
  kind?: "internal" | "server" | "client";
  /** Of the process that asks; the span in which this runs unless told. */
  traceparent?: string | undefined;
  attributes?: Record<string, string | undefined>;
}

const KINDS = { internal: 1, server: 2, client: 3 };
const OK = 1;
const ERROR = 2;

const storage = new AsyncLocalStorage<SpanContext>();
let exporter: Exporter | undefined;

/** Begins to record. @param options.endpoint of an OTLP collector; undefined: nothing is recorded. */
export function startTracing(options: {
  endpoint: string | undefined;
  serviceName: string;
  onError: (error: unknown) => void;
}): void {
  const { endpoint, serviceName, onError } = options;
  exporter = endpoint === undefined ? undefined : new Exporter({ endpoint, serviceName, onError });
}

/** Sends what waits, and records no more. */
export async function stopTracing(): Promise<void> {
  const last = exporter;
  exporter = undefined;
  await last?.flush();
}

/** Whether spans are recorded at all. */
export function isTracing(): boolean {
  return exporter !== undefined;
}

/** The header for calls to other processes; undefined when nothing is recorded. */
export function currentTraceparent(): string | undefined {
  const context = storage.getStore();
  return context === undefined ? undefined : formatTraceparent(context);
}

/** Runs `work` in a span of its own, which ends with it. */
export async function span<T>(name: string, options: SpanOptions, work: () => Promise<T>): Promise<T> {
  const target = exporter;
  if (target === undefined) return await work();
  const parent = parseTraceparent(options.traceparent) ?? storage.getStore();
  const context: SpanContext = {
    traceId: parent?.traceId ?? randomBytes(16).toString("hex"),
    spanId: randomBytes(8).toString("hex"),
    sampled: parent?.sampled ?? true,
  };
  const startTimeUnixNano = nowUnixNano();
  const finish = (status: { code: number; message?: string }): void => {
    if (!context.sampled) return;
    target.add({
      traceId: context.traceId,
      spanId: context.spanId,
      ...(parent === undefined ? {} : { parentSpanId: parent.spanId }),
      name,
      kind: KINDS[options.kind ?? "internal"],
      startTimeUnixNano,
      endTimeUnixNano: nowUnixNano(),
      attributes: Object.entries(options.attributes ?? {}).flatMap(([key, value]) =>
        value === undefined ? [] : [{ key, value: { stringValue: value } }],
      ),
      status,
    });
  };
  try {
    const result = await storage.run(context, work);
    finish({ code: OK });
    return result;
  } catch (error) {
    finish({ code: ERROR, message: error instanceof Error ? error.message : String(error) });
    throw error;
  }
}

function nowUnixNano(): string {
  return String(BigInt(Math.round((performance.timeOrigin + performance.now()) * 1_000)) * 1_000n);
}
