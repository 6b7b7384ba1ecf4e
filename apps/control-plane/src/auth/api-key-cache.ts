/**
 * Keys that were looked up a moment ago: a request does not ask the database again who it is from. A key that was
 * deleted ends at once all the same: this control plane forgets them when it deletes one, every other when the database
 * tells of it (migration 0005), and while nothing can be heard from the database nothing is remembered.
 */
import type { ApiKeyStore, KeyOwner } from "./api-key-store.ts";

/** A connection may be dead for longer than anybody notices: no key outlives its deletion by more than this. */
const LIFETIME_MS = 1_000;
const MOST_KEYS = 10_000;

export class ApiKeyCache {
  readonly #keys: Pick<ApiKeyStore, "findByHash">;
  readonly #now: () => number;
  readonly #remembered = new Map<string, { owner: KeyOwner; until: number }>();
  /** Under way, and still worth remembering. */
  readonly #lookups = new Map<string, Promise<KeyOwner | undefined>>();
  #remembers = false;
  /** Grows when keys change: what was looked up before is not worth remembering. */
  #generation = 0;

  /** @param now milliseconds that only go forward */
  constructor(keys: Pick<ApiKeyStore, "findByHash">, now: () => number = () => performance.now()) {
    this.#keys = keys;
    this.#now = now;
  }

  /** Whose key this is; undefined for one that is unknown, expired or deleted. */
  async find(hash: Buffer): Promise<KeyOwner | undefined> {
    const name = hash.toString("latin1");
    const now = this.#now();
    const remembered = this.#remembered.get(name);
    if (remembered !== undefined && now < remembered.until) return remembered.owner;
    if (!this.#remembers) return await this.#keys.findByHash(hash);
    // who comes while a key is looked up waits for the same answer, which may be remembered as well
    const lookup = this.#lookups.get(name) ?? this.#lookUp(name, hash, now);
    return await lookup;
  }

  #lookUp(name: string, hash: Buffer, now: number): Promise<KeyOwner | undefined> {
    const generation = this.#generation;
    const lookup = this.#keys
      .findByHash(hash)
      .then((owner) => {
        if (owner !== undefined && generation === this.#generation) {
          if (this.#remembered.size >= MOST_KEYS) this.#remembered.clear();
          const lifetimeMs = Math.min(LIFETIME_MS, owner.expires_in_ms ?? LIFETIME_MS);
          this.#remembered.set(name, { owner, until: now + lifetimeMs });
        }
        return owner;
      })
      .finally(() => {
        if (this.#lookups.get(name) === lookup) this.#lookups.delete(name);
      });
    this.#lookups.set(name, lookup);
    return lookup;
  }

  /** To be called when keys were deleted or changed. */
  forget(): void {
    this.#generation++;
    this.#remembered.clear();
    this.#lookups.clear();
  }

  /** Whether changes by others are heard of; not, unless told. */
  hearsOfChanges(heard: boolean): void {
    this.#remembers = heard;
    this.forget();
  }
}
