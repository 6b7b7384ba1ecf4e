/**
 * Limits of guessing: a bucket of attempts per key, which fills again over time. In memory, per control
 * plane, and bounded: the bucket that was used longest ago is forgotten first.
 */
import { WrennError } from "@wrenn/errors";

const MOST_BUCKETS = 100_000;
const TOO_MANY = "Cannot go on: too many attempts to sign up or to log in";

interface Bucket {
  attempts: number;
  at: number;
}

export interface AttemptsOptions {
  /** Attempts that may follow each other at once. */
  burst: number;
  /** Time in which an empty bucket is full again. */
  windowMs: number;
  /** What the error says. */
  message?: string;
  /** The clock; milliseconds that only go forward. */
  now?: () => number;
}

export class Attempts {
  readonly #burst: number;
  readonly #windowMs: number;
  readonly #message: string;
  readonly #now: () => number;
  readonly #buckets = new Map<string, Bucket>();

  constructor({ burst, windowMs, message = TOO_MANY, now = () => performance.now() }: AttemptsOptions) {
    this.#message = message;
    this.#burst = burst;
    this.#windowMs = windowMs;
    this.#now = now;
  }

  /**
   * Takes an attempt.
   * @throws WrennError `rate_limited`, with the time to wait
   */
  take(key: string): void {
    const bucket = this.#bucketOf(key);
    if (bucket.attempts < 1) {
      const waitSec = Math.ceil(((1 - bucket.attempts) * this.#windowMs) / this.#burst / 1_000);
      throw new WrennError("rate_limited", this.#message, {
        hint: `Repeat it in ${waitSec} s`,
        retryAfterSec: waitSec,
      });
    }
    bucket.attempts--;
  }

  /** Gives an attempt back: it was a right one. */
  giveBack(key: string): void {
    const bucket = this.#bucketOf(key);
    bucket.attempts = Math.min(this.#burst, bucket.attempts + 1);
  }

  #bucketOf(key: string): Bucket {
    const now = this.#now();
    const found = this.#buckets.get(key) ?? { attempts: this.#burst, at: now };
    found.attempts = Math.min(this.#burst, found.attempts + ((now - found.at) * this.#burst) / this.#windowMs);
    found.at = now;
    this.#buckets.delete(key);
    this.#buckets.set(key, found);
    const [oldest] = this.#buckets.keys();
    if (this.#buckets.size > MOST_BUCKETS && oldest !== undefined) this.#buckets.delete(oldest);
    return found;
  }
}

/** What addresses are counted by: an IPv6 customer has 2^64 of them. */
export function networkOf(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined || !address.includes(":")) return mapped ?? address;
  const [head, tail] = address.replace(/%.*$/, "").split("::", 2) as [string, string?];
  const groups = head === "" ? [] : head.split(":");
  const rest = tail === undefined || tail === "" ? [] : tail.split(":");
  const all = tail === undefined ? groups : [...groups, ...Array(8 - groups.length - rest.length).fill("0"), ...rest];
  return all.slice(0, 4).join(":");
}
