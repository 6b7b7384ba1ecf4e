/** When keys were last used: kept in memory and written now and then, not once per request. */
import type { ApiKeyStore } from "./api-key-store.ts";

const WRITE_INTERVAL_MS = 30_000;

export class KeyUse {
  readonly #store: ApiKeyStore;
  readonly #onError: (error: unknown) => void;
  #pending = new Map<string, Date>();
  #timer: NodeJS.Timeout | undefined;

  constructor(store: ApiKeyStore, onError: (error: unknown) => void) {
    this.#store = store;
    this.#onError = onError;
  }

  record(apiKeyId: string): void {
    this.#pending.set(apiKeyId, new Date());
    this.#timer ??= setTimeout(() => void this.flush(), WRITE_INTERVAL_MS).unref();
  }

  /** Writes what is pending; a failure is reported, and costs only these times. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const times = this.#pending;
    this.#pending = new Map();
    try {
      await this.#store.recordUse(times);
    } catch (error) {
      this.#onError(error);
    }
  }
}
