/**
 * Passwords: argon2id (RFC 9106), stored as PHC strings, so that the cost may change later. A hash takes
 * a thread of libuv's pool, which file reads and look-ups share: few run at once, and few wait.
 */
import { argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { WrennError } from "@wrenn/errors";

/** OWASP's first recommendation for argon2id: 19 MiB, two passes, one lane. */
const COST = { memory: 19_456, passes: 2, parallelism: 1 } as const;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
const MOST_RUNNING = 2;
const MOST_WAITING = 64;
const PHC = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/;

const PREFIX = `$argon2id$v=19$m=${COST.memory},t=${COST.passes},p=${COST.parallelism}$`;

type Cost = Record<keyof typeof COST, number>;

const derive = promisify(argon2);
let running = 0;
const waiting: (() => void)[] = [];

/** @throws WrennError `rate_limited` when too many passwords wait to be hashed */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await hashOf(password, salt, COST, HASH_BYTES);
  return `${PREFIX}${encode(salt)}$${encode(hash)}`;
}

/**
 * Compares in the same time whether or not there is a hash to compare with: an address without an
 * account answers no faster than a wrong password.
 * @param stored a PHC string; undefined for users without a password, and for unknown ones
 * @throws WrennError `rate_limited`
 */
export async function verifyPassword(password: string, stored: string | undefined): Promise<boolean> {
  const parts = PHC.exec(stored ?? (await nobodysHash()));
  if (parts === null) throw new TypeError("Cannot compare a password: what is stored is no argon2id hash");
  const [, memory, passes, parallelism, salt = "", hash = ""] = parts;
  const expected = Buffer.from(hash, "base64");
  const cost = { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) };
  const given = await hashOf(password, Buffer.from(salt, "base64"), cost, expected.length);
  return timingSafeEqual(given, expected) && stored !== undefined;
}

/** True for a hash that was made with another cost than new ones. */
export function needsNewHash(stored: string): boolean {
  return !stored.startsWith(PREFIX);
}

let nobody: Promise<string> | undefined;

/** The hash of a password that nobody knows. */
function nobodysHash(): Promise<string> {
  nobody ??= hashPassword(randomBytes(32).toString("hex"));
  nobody.catch(() => (nobody = undefined));
  return nobody;
}

async function hashOf(password: string, nonce: Buffer, cost: Cost, tagLength: number): Promise<Buffer> {
  await enter();
  try {
    // the same letters may be composed in two ways, by keyboard
    return await derive("argon2id", { message: password.normalize("NFC"), nonce, ...cost, tagLength });
  } finally {
    leave();
  }
}

async function enter(): Promise<void> {
  if (running < MOST_RUNNING) {
    running++;
    return;
  }
  if (waiting.length >= MOST_WAITING) {
    throw new WrennError("rate_limited", "Cannot check a password: too many wait to be checked", {
      hint: "Repeat it in a moment",
    });
  }
  await new Promise<void>((resolve) => waiting.push(resolve));
}

/** Hands the place on to the next, if one waits. */
function leave(): void {
  const next = waiting.shift();
  if (next === undefined) running--;
  else next();
}

/** Base64 without padding, as PHC strings have it. */
function encode(bytes: Buffer): string {
  return bytes.toString("base64").replaceAll("=", "");
}
