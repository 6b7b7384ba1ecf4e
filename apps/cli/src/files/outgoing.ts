/** Bytes of this machine on their way into a sandbox. */
import { Readable } from "node:stream";
import { WrennError } from "@wrenn/errors";

/** `failure` is why they broke off: the request that sends them only knows that they did. */
export class Outgoing {
  readonly stream: ReadableStream<Uint8Array>;
  failure: WrennError | undefined;

  /** @param name what they are read from, in words */
  constructor(name: string, chunks: AsyncIterable<Uint8Array>) {
    this.stream = Readable.toWeb(Readable.from(this.#passOn(name, chunks))) as ReadableStream<Uint8Array>;
  }

  async *#passOn(name: string, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      yield* chunks;
    } catch (cause) {
      const { code, path } = cause as NodeJS.ErrnoException;
      this.failure = new WrennError("not_found", `Cannot read ${path ?? name}: ${code ?? String(cause)}`, { cause });
      throw this.failure;
    }
  }
}
