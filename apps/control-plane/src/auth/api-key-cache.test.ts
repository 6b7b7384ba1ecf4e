import { describe, expect, it } from "vitest";
import { ApiKeyCache } from "./api-key-cache.ts";
import type { KeyOwner } from "./api-key-store.ts";

const HASH = Buffer.alloc(32, 7);
const OWNER: KeyOwner = { id: "key_1", team_id: "team_1", name: "CI", scopes: [], expires_in_ms: null };

/** A cache in front of a table with one key, whose answers can be held back. */
function cacheOf(owner: KeyOwner | undefined) {
  const table = { owner, lookups: 0, nowMs: 0, answer: Promise.resolve() };
  const findByHash = async () => {
    table.lookups++;
    const found = table.owner;
    await table.answer;
    return found;
  };
  return { table, cache: new ApiKeyCache({ findByHash }, () => table.nowMs) };
}

describe("ApiKeyCache", () => {
  it("looks every key up until it hears of changes, and again when it does not any more", async () => {
    const { cache, table } = cacheOf(OWNER);
    await cache.find(HASH);
    await cache.find(HASH);
    expect(table.lookups).toBe(2);
    cache.hearsOfChanges(true);
    for (let n = 0; n < 5; n++) expect(await cache.find(HASH)).toEqual(OWNER);
    expect(table.lookups).toBe(3);
    cache.hearsOfChanges(false);
    await cache.find(HASH);
    await cache.find(HASH);
    expect(table.lookups).toBe(5);
  });

  it("forgets a deleted key, also one that was being looked up when it was deleted", async () => {
    const { cache, table } = cacheOf(OWNER);
    cache.hearsOfChanges(true);
    await cache.find(HASH);
    const { promise, resolve } = Promise.withResolvers<void>();
    table.nowMs = 5_000;
    table.answer = promise;
    const early = cache.find(HASH); // has read the row
    table.owner = undefined;
    cache.forget();
    resolve();
    expect(await early).toEqual(OWNER);
    expect(await cache.find(HASH)).toBeUndefined();
  });

  it("trusts nothing for longer than a second, nor beyond the key's own end", async () => {
    const { cache, table } = cacheOf({ ...OWNER, expires_in_ms: 300 });
    cache.hearsOfChanges(true);
    await cache.find(HASH);
    table.nowMs = 299;
    await cache.find(HASH);
    expect(table.lookups).toBe(1);
    table.owner = undefined;
    table.nowMs = 300;
    expect(await cache.find(HASH)).toBeUndefined();
    table.owner = OWNER;
    await cache.find(HASH);
    table.nowMs = 1_300;
    await cache.find(HASH);
    expect(table.lookups).toBe(4);
  });

  it("looks a key up once for all who come meanwhile, but not for who comes after a change", async () => {
    const { cache, table } = cacheOf(OWNER);
    cache.hearsOfChanges(true);
    const { promise, resolve } = Promise.withResolvers<void>();
    table.answer = promise;
    const many = Array.from({ length: 20 }, () => cache.find(HASH));
    expect(table.lookups).toBe(1);
    table.owner = undefined;
    cache.forget();
    const late = cache.find(HASH);
    expect(table.lookups).toBe(2);
    resolve();
    expect(await Promise.all(many)).toEqual(Array(20).fill(OWNER));
    expect(await late).toBeUndefined();
  });

  it("does not remember what is unknown", async () => {
    const { cache, table } = cacheOf(undefined);
    cache.hearsOfChanges(true);
    await cache.find(HASH);
    table.owner = OWNER;
    expect(await cache.find(HASH)).toEqual(OWNER);
  });
});
