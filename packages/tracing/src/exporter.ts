/**
 * Sends finished spans to a collector: OTLP 1.x over HTTP in JSON. What it does not take is dropped:
 * tracing never holds anything up, and never grows.
 */

/** A finished span, as OTLP's JSON has it. */
export interface FinishedSpan {
  traceId: string;
  spanId: string;
  parentSpanId?: string;
  name: string;
  /** 1 internal, 2 server, 3 client. */
  kind: number;
  startTimeUnixNano: string;
  endTimeUnixNano: string;
  attributes: { key: string; value: { stringValue: string } }[];
  /** `code` 2: error. */
  status: { code: number; message?: string };
}

const MAX_WAITING = 2_048;
const MAX_BATCH = 512;
const INTERVAL_MS = 1_000;
const SEND_TIMEOUT_MS = 10_000;

export class Exporter {
  readonly #url: string;
  readonly #serviceName: string;
  readonly #onError: (error: unknown) => void;
  #waiting: FinishedSpan[] = [];
  #timer: NodeJS.Timeout | undefined;
  #sending: Promise<void> = Promise.resolve();

  /** @param options.endpoint of the collector, without `/v1/traces`. */
  constructor(options: { endpoint: string; serviceName: string; onError: (error: unknown) => void }) {
    this.#url = `${options.endpoint.replace(/\/$/, "")}/v1/traces`;
    this.#serviceName = options.serviceName;
    this.#onError = options.onError;
  }

  add(span: FinishedSpan): void {
    if (this.#waiting.length >= MAX_WAITING) this.#waiting.shift();
    this.#waiting.push(span);
    this.#timer ??= setTimeout(() => void this.flush(), INTERVAL_MS).unref();
  }

  /** Sends what waits. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#sending = this.#sending.then(async () => {
      while (this.#waiting.length > 0) await this.#send(this.#waiting.splice(0, MAX_BATCH));
    });
    await this.#sending;
  }

  async #send(spans: FinishedSpan[]): Promise<void> {
    const resource = { attributes: [{ key: "service.name", value: { stringValue: this.#serviceName } }] };
    const body = { resourceSpans: [{ resource, scopeSpans: [{ scope: { name: "wrenn" }, spans }] }] };
    try {
      const {
        ok,
        status,
        body: answer,
      } = await fetch(this.#url, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(SEND_TIMEOUT_MS),
      });
      await answer?.cancel(); // an answer that nobody reads keeps its connection
      if (!ok) throw new Error(`the collector answered ${status}`);
    } catch (error) {
      this.#onError(error);
    }
  }
}
