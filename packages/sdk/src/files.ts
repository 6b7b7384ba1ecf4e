/** Files of one sandbox. */
import { WrennError } from "./errors.ts";
import type { RequestBody } from "./generated.ts";
import type { CallOptions, Transport } from "./transport.ts";

export interface FileOptions extends CallOptions {
  /** Whose home relative paths start at, and who owns what is written. */
  user?: string;
}

export class SandboxFiles {
  readonly #transport: Transport;
  readonly #id: string;

  constructor(transport: Transport, id: string) {
    this.#transport = transport;
    this.#id = id;
  }

  /** The whole file as text. */
  async readText(path: string, options: FileOptions = {}): Promise<string> {
    return await (await this.#read(path, options)).text();
  }

  /** The whole file. */
  async read(path: string, options: FileOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    return new Uint8Array(await (await this.#read(path, options)).arrayBuffer());
  }

  /** The file as it comes; a transfer that breaks is an error of the stream. */
  async readStream(path: string, options: FileOptions = {}): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    const { body } = await this.#read(path, options);
    if (body === null) throw new WrennError("internal", `Cannot read ${path}: the answer has no body`);
    return body;
  }

  /** Writes a file; missing directories are made. A stream needs a runtime that can send one (not Safari). */
  async write(path: string, data: RequestBody, options: FileOptions = {}): Promise<{ path: string; size: number }> {
    const { user, ...call } = options;
    return await this.#transport.call("writeFile", {
      path: { id: this.#id },
      query: { path, ...(user === undefined ? {} : { user }) },
      body: data,
      ...call,
      timeoutMs: options.timeoutMs ?? 0,
    });
  }

  async #read(path: string, { user, ...call }: FileOptions): Promise<Response> {
    return await this.#transport.response("readFile", {
      path: { id: this.#id },
      query: { path, ...(user === undefined ? {} : { user }) },
      ...call,
    });
  }
}
