import { once } from "node:events";
import type { Writable } from "node:stream";

/** Streams whose reader is gone (EPIPE). Standard output is never `destroyed`, so this has to be kept. */
const broken = new WeakSet<Writable>();
const watched = new WeakSet<Writable>();

/** Writes and waits while the stream is full; false when nobody reads it any more. */
export async function writeAll(stream: Writable, data: Uint8Array): Promise<boolean> {
  if (!watched.has(stream)) {
    watched.add(stream);
    stream.on("error", () => broken.add(stream));
  }
  if (broken.has(stream)) return false;
  if (!stream.write(data)) await once(stream, "drain").catch(() => undefined); // rejects on `error`
  return !broken.has(stream);
}
