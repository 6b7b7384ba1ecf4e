/** What a process printed, up to a limit, and how it is written in JSON. */
import { isUtf8 } from "node:buffer";

export class OutputBuffer {
  readonly #limit: number;
  readonly #parts: Uint8Array[] = [];
  #size = 0;
  #truncated = false;

  /** @param limit bytes that are kept; what comes after is dropped. */
  constructor(limit: number) {
    this.#limit = limit;
  }

  get truncated(): boolean {
    return this.#truncated;
  }

  push(data: Uint8Array): void {
    const room = this.#limit - this.#size;
    const kept = data.length <= room ? data : data.subarray(0, room);
    if (kept.length < data.length) this.#truncated = true;
    if (kept.length === 0) return;
    this.#parts.push(kept);
    this.#size += kept.length;
  }

  /** The bytes; a cut never leaves half a UTF-8 character at the end. */
  bytes(): Buffer {
    const all = Buffer.concat(this.#parts);
    return this.#truncated ? all.subarray(0, all.length - partialCharacter(all)) : all;
  }
}

/** Both streams in one encoding: text when all of it is text. */
export function encodeOutput(
  stdout: Buffer,
  stderr: Buffer,
): { stdout: string; stderr: string; encoding: "utf-8" | "base64" } {
  const encoding = isUtf8(stdout) && isUtf8(stderr) ? "utf-8" : "base64";
  return { stdout: stdout.toString(encoding), stderr: stderr.toString(encoding), encoding };
}

/** How many bytes at the end begin a character of which the rest is missing (RFC 3629). */
export function partialCharacter(data: Buffer): number {
  for (let back = 1; back <= Math.min(3, data.length); back++) {
    const byte = data[data.length - back] as number;
    if ((byte & 0xc0) === 0x80) continue;
    const length = byte > 0xf4 ? 1 : byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1;
    return length > back ? back : 0;
  }
  return 0;
}
