/**
 * Starts take turns, in the order in which they were asked for. A guest's first instructions need a whole processor: when
 * all of a burst begin at once, none is ready before nearly all are.
 */
import pLimit, { type LimitFunction } from "p-limit";

/** Then the next may begin too: what takes this long waits for something else than a processor, or never ends. */
export const TURN_MS = 2_000;

export class Turns {
  readonly #limit: LimitFunction;

  constructor(atOnce: number) {
    this.#limit = pLimit(atOnce);
  }

  /**
   * Settles when the turn comes; disposing of it ends it.
   * @throws the reason of `signal` as soon as it is aborted
   */
  async take(signal: AbortSignal): Promise<Disposable> {
    signal.throwIfAborted();
    const taken = Promise.withResolvers<Disposable>();
    const giveUp = (): void => taken.reject(signal.reason);
    signal.addEventListener("abort", giveUp, { once: true });
    void this.#limit(async () => {
      signal.removeEventListener("abort", giveUp);
      if (signal.aborted) return;
      const { promise: ended, resolve: end } = Promise.withResolvers<void>();
      const timer = setTimeout(end, TURN_MS);
      taken.resolve({ [Symbol.dispose]: end });
      await ended;
      clearTimeout(timer);
    });
    return await taken.promise;
  }
}
