/**
 * A request that makes something, repeated under the same `Idempotency-Key`, makes it once: the repeat
 * gets the first answer, also from another control plane, and also when the one that began it died.
 * The id of what is made is kept with the key before anything is done. Routes validate the header by
 * `CreateHeaders`.
 */
import { createHash } from "node:crypto";
import type { FastifyRequest } from "fastify";
import { IDEMPOTENCY_KEY_HEADER } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { callerOf } from "../auth/authenticate.ts";
import type { IdempotencyStore } from "./idempotency-store.ts";

/** How long a repeat waits for the first request. */
const WAIT_MS = 120_000;
/** How often it looks without being told. */
const LOOK_INTERVAL_MS = 1_000;

/** What became of something that was to be made. */
export type Found<T> =
  | { state: "made"; body: T }
  | { state: "under way" }
  /** It failed, and nothing is left of it. */
  | { state: "failed" }
  /** Nobody has begun to make it, or not yet. */
  | { state: "unknown" };

export interface Making<T> {
  mintId: () => string;
  make: (id: string) => Promise<T>;
  find: (id: string) => Promise<Found<T>>;
  /** Settles when something of the team changed, or `signal` aborts. */
  changed: (signal: AbortSignal) => Promise<void>;
}

/** @throws WrennError `conflict` when the key was used for another request, or the first takes too long. */
export async function onceOnly<T extends object>(
  store: IdempotencyStore,
  request: FastifyRequest,
  { mintId, make, find, changed }: Making<T>,
): Promise<{ body: T; replayed: boolean }> {
  const key = request.headers[IDEMPOTENCY_KEY_HEADER];
  if (typeof key !== "string") return { body: await make(mintId()), replayed: false };
  const { teamId } = callerOf(request);
  const requestHash = hashOf(request);
  const deadline = AbortSignal.timeout(WAIT_MS);
  while (!deadline.aborted) {
    const claim = { teamId, key, requestHash, resourceId: mintId() };
    const known = await store.claim(claim);
    if (known === undefined) {
      const body = await make(claim.resourceId).catch(async (error: unknown) => {
        await store.release(claim, { abandoned: false });
        throw error;
      });
      // when only this fails, the key stays with what was made, and the repeat finds it
      await store.complete(claim, 201, body);
      return { body, replayed: false };
    }
    if (!known.requestHash.equals(requestHash)) {
      throw new WrennError("conflict", "Cannot use the idempotency key: another request was made under it", {
        hint: "Use a new key for every new request",
      });
    }
    if (known.response !== undefined) return { body: known.response as T, replayed: true };
    const first = { teamId, key, resourceId: known.resourceId };
    const found = await find(first.resourceId);
    if (found.state === "made") {
      await store.complete(first, 201, found.body);
      return { body: found.body, replayed: true };
    }
    if (found.state === "unknown") await store.release(first, { abandoned: true });
    if (found.state === "failed") await store.release(first, { abandoned: false });
    else await changed(AbortSignal.any([deadline, AbortSignal.timeout(LOOK_INTERVAL_MS)]));
  }
  throw new WrennError("conflict", "Cannot answer: the first request under this idempotency key is still under way", {
    hint: "Repeat it later",
  });
}

/** Of the route and the body, whose defaults are filled in; the order of its fields does not count. */
function hashOf(request: FastifyRequest): Buffer {
  const text = JSON.stringify([request.method, request.url, sorted(request.body)]);
  return createHash("sha256").update(text).digest();
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value)
      .toSorted(([a], [b]) => (a < b ? -1 : 1))
      .map(([name, inner]) => [name, sorted(inner)]),
  );
}
