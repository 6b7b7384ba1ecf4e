/** Bytes that come in chunks as text, whose characters stay whole. */
import { partialCharacter } from "./output.ts";

/** What of the bytes so far can be shown. */
export interface TextChunk {
  text: string;
  /** Bytes at the end that wait for the rest of their character. */
  heldBytes: number;
}

export class Utf8Chunks {
  #held: Buffer = Buffer.alloc(0);

  push(chunk: Buffer): TextChunk {
    const bytes = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk]);
    const end = bytes.length - partialCharacter(bytes);
    this.#held = bytes.subarray(end);
    return { text: bytes.toString("utf8", 0, end), heldBytes: this.#held.length };
  }

  /** A character that was never finished. */
  end(): string {
    return this.#held.toString("utf8");
  }
}
