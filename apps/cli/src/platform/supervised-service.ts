/**
 * Keeps one service running: starts it again when it ends by itself, after a pause that doubles with each
 * failure in a row and is forgotten when the service has served for a while.
 */
import { setTimeout as delay } from "node:timers/promises";
import { WrennError } from "@wrenn/errors";
import { parseLogLine, type LogRecord } from "./log-record.ts";
import { identify } from "./process-identity.ts";
import type { RunningService, Service } from "./service.ts";
import type { ServiceStatus } from "./supervisor-record.ts";

const FIRST_PAUSE_MS = 250;
const LONGEST_PAUSE_MS = 30_000;
/** Serving this long means that the failures before are over. */
const STABLE_MS = 30_000;

export interface SupervisedServiceOptions {
  service: Service;
  log: (record: LogRecord) => void;
  onChange: () => void;
}

export class SupervisedService {
  readonly #service: Service;
  readonly #log: (record: LogRecord) => void;
  readonly #onChange: () => void;
  readonly #stopping = new AbortController();
  #status: ServiceStatus;
  #running: RunningService | undefined;
  #loop: Promise<void> = Promise.resolve();

  constructor({ service, log, onChange }: SupervisedServiceOptions) {
    this.#service = service;
    this.#log = log;
    this.#onChange = onChange;
    this.#status = { name: service.name, state: "stopped", since: new Date().toISOString(), restarts: 0 };
  }

  get status(): ServiceStatus {
    return this.#status;
  }

  /** Starts it for the first time; a failure is the caller's. From then on it is kept running. */
  async start(signal: AbortSignal): Promise<void> {
    const running = await this.#launch(signal);
    this.#loop = this.#keepRunning(running);
  }

  /** Ends it for good. */
  async stop(): Promise<void> {
    // before the kill, so that its end is not taken for a crash
    this.#stopping.abort(new WrennError("canceled", `Stopping the ${this.#service.name}`));
    await this.#running?.stop();
    await this.#loop;
    this.#change("stopped");
  }

  async #launch(signal: AbortSignal): Promise<RunningService> {
    this.#change("starting");
    try {
      this.#running = await this.#service.launch({
        signal: AbortSignal.any([signal, this.#stopping.signal]),
        log: this.#log,
      });
    } catch (error) {
      this.#change("stopped");
      throw error;
    }
    this.#change("running", this.#running.pid);
    return this.#running;
  }

  async #keepRunning(first: RunningService): Promise<void> {
    let running: RunningService | undefined = first;
    let pauseMs = FIRST_PAUSE_MS;
    while (!this.#stopping.signal.aborted) {
      if (running !== undefined) {
        const startedAt = performance.now();
        const how = await running.exited;
        this.#running = undefined;
        if (this.#stopping.signal.aborted) return;
        if (performance.now() - startedAt >= STABLE_MS) pauseMs = FIRST_PAUSE_MS;
        this.#say(50, `ended by itself: ${how}; starting it again in ${pauseMs} ms`);
        this.#status = { ...this.#status, lastExit: how };
      }
      this.#change("waiting");
      await delay(pauseMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined);
      if (this.#stopping.signal.aborted) return;
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS);
      this.#status = { ...this.#status, restarts: this.#status.restarts + 1 };
      running = await this.#launch(this.#stopping.signal).catch((error: unknown) => {
        if (!this.#stopping.signal.aborted)
          this.#say(50, `${WrennError.from(error).message}; trying again in ${pauseMs} ms`);
        return undefined;
      });
    }
  }

  #say(level: number, text: string): void {
    this.#log({ ...parseLogLine(text, level), source: "supervisor" });
  }

  #change(state: ServiceStatus["state"], pid?: number): void {
    const { process: _process, ...rest } = this.#status;
    const process = pid === undefined ? undefined : identify(pid);
    this.#status = { ...rest, state, since: new Date().toISOString(), ...(process === undefined ? {} : { process }) };
    this.#onChange();
  }
}
