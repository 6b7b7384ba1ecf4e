/**
 * Signatures of webhooks, as Standard Webhooks 1.0 has them (https://www.standardwebhooks.com): HMAC
 * SHA-256 over `id.timestamp.body` in base64, so that any of its libraries verifies them.
 */
import { createHmac, randomBytes } from "node:crypto";

const PREFIX = "whsec_";

export function mintSecret(): string {
  return PREFIX + randomBytes(32).toString("base64");
}

/** @param timestamp Unix seconds; a receiver refuses old ones. */
export function signatureHeaders(
  secret: string,
  { id, timestamp, body }: { id: string; timestamp: number; body: string },
): Record<string, string> {
  const key = Buffer.from(secret.slice(PREFIX.length), "base64");
  const signature = createHmac("sha256", key).update(`${id}.${timestamp}.${body}`).digest("base64");
  return { "webhook-id": id, "webhook-timestamp": String(timestamp), "webhook-signature": `v1,${signature}` };
}
