/**
 * The secrets that sign session tokens: the first signs, all verify, so that a secret is changed by
 * putting a new one in front, and taking the old one away when its tokens have ended.
 */
import { createHash, randomBytes } from "node:crypto";
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { waitForLock, writeFileAtomic } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";

/** HS256 asks for a key of at least its hash's length (RFC 7518, 3.2). */
const LEAST_LENGTH = 32;
const LOCK_DEADLINE_MS = 10_000;

export interface SessionSecret {
  /** Names it in a token's header; tells nothing of it. */
  keyId: string;
  bytes: Uint8Array;
}

export type SessionSecrets = readonly [SessionSecret, ...SessionSecret[]];

/** @throws WrennError `invalid_request` for a secret that is too short */
export function parseSecrets(text: string, source: string): SessionSecrets {
  const parts = text.split(/[\s,]+/).filter((part) => part !== "");
  const [first, ...others] = parts.map((secret) => {
    if (secret.length < LEAST_LENGTH) throw tooShort(source);
    const keyId = createHash("sha256").update(`key id of ${secret}`).digest("hex").slice(0, 8);
    return { keyId, bytes: new TextEncoder().encode(secret) };
  });
  if (first === undefined) throw tooShort(source);
  return [first, ...others];
}

/**
 * The secrets of `file`; a file that is missing is made. Only right for a platform on one machine: two
 * control planes with different secrets do not know each other's sessions.
 */
export async function ensureSecrets(file: string): Promise<SessionSecrets> {
  await mkdir(dirname(file), { recursive: true, mode: 0o700 });
  await using _ = await waitForLock(`${file}.lock`, AbortSignal.timeout(LOCK_DEADLINE_MS));
  const text = await readFile(file, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code === "ENOENT") return undefined;
    throw error;
  });
  if (text !== undefined) return parseSecrets(text, file);
  const made = `${randomBytes(32).toString("hex")}\n`;
  await writeFileAtomic(file, made, { mode: 0o600, name: "session-secrets" });
  return parseSecrets(made, file);
}

function tooShort(source: string): WrennError {
  return new WrennError(
    "invalid_request",
    `Cannot sign sessions: ${source} holds a secret of less than ${LEAST_LENGTH} characters`,
    { hint: "Make one with: openssl rand -hex 32" },
  );
}
