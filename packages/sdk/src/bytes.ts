/** Bytes as text and back, with what every runtime has. */
import { WrennError } from "./errors.ts";

const CHUNK = 32_768;

export function toBase64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += CHUNK) text += String.fromCharCode(...bytes.subarray(at, at + CHUNK));
  return btoa(text);
}

export function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}

/**
 * The chunks of a stream; leaving the loop gives the stream up. Not every browser's streams are iterable.
 * @throws WrennError `unavailable` when none comes for `silenceMs`
 */
export async function* chunksOf(stream: ReadableStream<Uint8Array>, silenceMs: number): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader();
  let readingSince: number | undefined;
  let isSilent = false;
  const watch = setInterval(() => {
    isSilent = readingSince !== undefined && performance.now() - readingSince >= silenceMs;
    if (isSilent) void reader.cancel().catch(() => undefined); // ends the read
  }, silenceMs / 4);
  try {
    for (;;) {
      readingSince = performance.now();
      const { done, value } = await reader.read();
      readingSince = undefined;
      if (isSilent) throw new WrennError("unavailable", `Cannot go on: nothing came for ${silenceMs / 1_000} s`);
      if (done) return;
      yield value;
    }
  } finally {
    clearInterval(watch);
    await reader.cancel().catch(() => undefined);
  }
}
