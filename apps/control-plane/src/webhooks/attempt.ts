/** One attempt to tell a webhook of an event: a signed POST, which only a 2xx answers well. */
import { request } from "undici";
import { WrennError } from "@wrenn/errors";
import type { EventRow, WebhookRow } from "../database/tables.ts";
import { eventOf } from "../events/event-store.ts";
import type { Destinations } from "./destination.ts";
import { signatureHeaders } from "./signature.ts";

const MAX_ANSWER_BYTES = 65_536;

/** @throws WrennError whose message says why the event was not delivered, in words for the webhook's owner */
export async function attempt(
  webhook: Pick<WebhookRow, "id" | "url" | "secret">,
  event: EventRow,
  destinations: Destinations,
): Promise<void> {
  const { agent, timeoutMs } = destinations;
  const body = JSON.stringify(eventOf(event));
  const signal = AbortSignal.timeout(timeoutMs); // for all of it
  try {
    destinations.check(webhook.url);
    const { statusCode, body: answer } = await request(webhook.url, {
      method: "POST",
      dispatcher: agent,
      signal,
      headers: {
        "content-type": "application/json",
        "user-agent": "wrenn-webhooks",
        ...signatureHeaders(webhook.secret, {
          id: `${webhook.id}.${event.id}`,
          timestamp: Math.floor(Date.now() / 1_000),
          body,
        }),
      },
      body,
    });
    // what is in the answer does not matter, and it may never end
    await answer.dump({ limit: MAX_ANSWER_BYTES, signal }).catch(() => undefined);
    if (statusCode < 200 || statusCode >= 300)
      throw new WrennError("unavailable", `it was answered with ${statusCode}`);
  } catch (error) {
    throw undelivered(error, timeoutMs);
  }
}

function undelivered(error: unknown, timeoutMs: number): WrennError {
  const mapped = WrennError.from(error);
  if (mapped.code === "timeout")
    return new WrennError("timeout", `it did not answer within ${timeoutMs / 1_000} s`, { cause: error });
  if (mapped.code !== "internal") return mapped;
  const { code } = error as NodeJS.ErrnoException;
  return new WrennError("unavailable", code ?? mapped.message, { cause: error });
}
