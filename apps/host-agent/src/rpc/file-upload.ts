/**
 * One upload into a guest. A file that is there already is touched only when all of the new content is
 * in the guest: the upload goes into a file beside it, whose content then takes its place.
 */
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { posix } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import type { GuestAgent } from "../envd/guest-agent.ts";
import { errorOfFileCall } from "../envd/guest-errors.ts";
import { basicUser } from "../envd/run-in-guest.ts";

/** A cleanup does not end with its request. */
const CLEANUP_DEADLINE_MS = 10_000;

interface Target {
  path: string;
  user: string;
}

/** Answers when the guest has all of the body. @returns the absolute path, and how many bytes there were. */
export async function writeGuestFile(
  guest: GuestAgent,
  target: Target,
  body: IncomingMessage,
  signal: AbortSignal,
): Promise<{ path: string; size: number }> {
  let size = 0;
  body.on("data", (chunk: Buffer) => (size += chunk.length)).pause(); // counted as it flows to the guest
  const existing = await pathOfExisting(guest, target, signal);
  if (existing === undefined) {
    const { path } = await guest.upload(target, body, signal);
    return { path, size };
  }
  const { dir, base } = posix.parse(existing);
  const part = { path: posix.join(dir, `.${base.slice(0, 128)}.part-${randomUUID()}`), user: target.user };
  try {
    await guest.upload(part, body, signal);
    await guest.replaceFile(part.path, existing, target.user, signal);
  } catch (error) {
    // an interrupted upload removes itself; what a refused replacement leaves is removed here
    await guest.files
      .remove({ path: part.path }, { headers: basicUser(target.user), timeoutMs: CLEANUP_DEADLINE_MS })
      .catch(() => undefined);
    throw error;
  }
  return { path: existing, size };
}

async function pathOfExisting(
  guest: GuestAgent,
  { path, user }: Target,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    const { entry } = await guest.files.stat({ path }, { headers: basicUser(user), signal });
    return entry?.path;
  } catch (error) {
    if (error instanceof ConnectError && error.code === Code.NotFound) return undefined;
    throw errorOfFileCall(error);
  }
}
