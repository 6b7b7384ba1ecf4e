import { once } from "node:events";
import type { Writable } from "node:stream";

/** Writes and waits while the stream is full; false when nobody reads it any more. */
export async function writeAll(stream: Writable, data: Uint8Array): Promise<boolean> {
  if (stream.destroyed) return false;
  if (stream.listenerCount("error", ignore) === 0) stream.on("error", ignore); // EPIPE: told by `destroyed`
  if (!stream.write(data)) {
    await Promise.race([once(stream, "drain"), once(stream, "close")]).catch(() => undefined);
  }
  return !stream.destroyed;
}

function ignore(): void {}
