/**
 * Signals that ask the CLI to end. The first one aborts what the command does, which cleans up and
 * returns; a second one of Ctrl-C ends at once. A command that serves another process (`run`) takes the
 * signals itself.
 */
import { constants } from "node:os";
import { WrennError } from "@wrenn/errors";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT"] as const;
export type InterruptSignal = (typeof SIGNALS)[number];
/**
 * A signal that comes again this soon is the same one: timeout(1), npm and shells send it to the process
 * and to its group.
 */
const SAME_SIGNAL_MS = 500;

type Handler = (signal: InterruptSignal) => void;

export class Interrupts {
  readonly #controller = new AbortController();
  #handler: Handler | undefined;
  #received: InterruptSignal | undefined;
  /** When each was taken last, by performance.now(). */
  readonly #takenAt = new Map<InterruptSignal, number>();

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** 128 + N when signal N has ended the command. */
  get exitCode(): number | undefined {
    return this.#received === undefined ? undefined : 128 + constants.signals[this.#received];
  }

  listen(): void {
    for (const signal of SIGNALS) process.on(signal, () => this.#receive(signal));
  }

  /** Gives the signals to `handler` until it is disposed. */
  take(handler: Handler): Disposable {
    this.#handler = handler;
    return {
      [Symbol.dispose]: () => {
        if (this.#handler === handler) this.#handler = undefined;
      },
    };
  }

  /** Ends the command as if `signal` had been received. */
  abort(signal: InterruptSignal): void {
    this.#received ??= signal;
    this.#controller.abort(new WrennError("canceled", `Stopped by ${signal}`));
  }

  #receive(signal: InterruptSignal): void {
    const now = performance.now();
    if (now - (this.#takenAt.get(signal) ?? Number.NEGATIVE_INFINITY) < SAME_SIGNAL_MS) return;
    this.#takenAt.set(signal, now);
    if (this.#handler !== undefined) this.#handler(signal);
    else if (this.#received === undefined) this.abort(signal);
    else process.exit(128 + constants.signals[signal]);
  }
}
