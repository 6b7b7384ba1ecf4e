/**
 * API keys: `wrn_` and 32 hex digits (128 random bits), of which only the SHA-256 is stored. The same
 * secret is accepted with the prefix `e2b_`, which is what the E2B SDKs insist on.
 */
import { hash, randomBytes } from "node:crypto";

const SHAPE = /^(?:wrn|e2b)_([0-9a-f]{32})$/;
/** Characters of a key that are kept readable, to tell keys apart. */
const PREFIX_LENGTH = 10;

export interface MintedKey {
  /** Shown once. */
  key: string;
  hash: Buffer;
  prefix: string;
}

export function mintApiKey(): MintedKey {
  const key = `wrn_${randomBytes(16).toString("hex")}`;
  return { key, hash: hashOf(key.slice(4)), prefix: key.slice(0, PREFIX_LENGTH) };
}

/** The stored form of a key, or undefined for a text that is no key. */
export function hashApiKey(key: string): Buffer | undefined {
  const secret = SHAPE.exec(key)?.[1];
  return secret === undefined ? undefined : hashOf(secret);
}

function hashOf(secret: string): Buffer {
  return hash("sha256", `wrn_${secret}`, "buffer");
}
