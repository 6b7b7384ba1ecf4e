/** Takes secrets out of texts that leave the machine. */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { StoredRecord } from "./sandbox-directory.ts";

const REMOVED = "[removed]";
/** Shorter values are in every text by chance. */
const MIN_LENGTH = 6;

/** Every secret that the platform keeps in files, and the sandbox's own. */
export async function collectSecrets(secretsDirectory: string, record: StoredRecord): Promise<string[]> {
  const files = await readdir(secretsDirectory).catch(() => []);
  const texts = await Promise.all(files.map((name) => readFile(join(secretsDirectory, name), "utf8").catch(() => "")));
  const ofPlatform = texts.flatMap((text) => [text.trim(), ...(text.match(/[\w.-]{16,}/g) ?? [])]);
  return [record.accessToken, ...Object.values(record.envs), ...ofPlatform].filter(
    ({ length }) => length >= MIN_LENGTH,
  );
}

/** Replaces secrets by a mark, the longest first, also as JSON writes them. */
export function scrub(text: string, secrets: readonly string[]): string {
  const forms = secrets.flatMap((secret) => [secret, JSON.stringify(secret).slice(1, -1)]);
  return [...new Set(forms)]
    .toSorted((a, b) => b.length - a.length)
    .reduce((scrubbed, secret) => scrubbed.replaceAll(secret, REMOVED), text);
}

/** The record without what is secret: no token, and only the names of environment variables. */
export function withoutSecrets({ accessToken: _token, envs, ...rest }: StoredRecord): Record<string, unknown> {
  return { ...rest, envNames: Object.keys(envs) };
}
