/** Files of one sandbox. */
import { WrennError } from "./errors.ts";
import type { FileEntry, RequestBody } from "./generated.ts";
import { wholeOf, type CallOptions, type Transport } from "./transport.ts";
import { watchDirectory, type FileChange, type WatchOptions } from "./watch.ts";

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
    return await wholeOf(await this.#read(path, options), options.signal, async (file) => await file.text());
  }

  /** The whole file. */
  async read(path: string, options: FileOptions = {}): Promise<Uint8Array<ArrayBuffer>> {
    const response = await this.#read(path, options);
    return new Uint8Array(await wholeOf(response, options.signal, async (file) => await file.arrayBuffer()));
  }

  /** The file as it comes; a transfer that breaks is an error of the stream. */
  async readStream(path: string, options: FileOptions = {}): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    return streamOf(path, await this.#read(path, options));
  }

  /** Writes a file; missing directories are made. A stream needs a runtime that can send one (not Safari). */
  async write(path: string, data: RequestBody, options: FileOptions = {}): Promise<{ path: string; size: number }> {
    return await this.#transport.call("writeFile", {
      ...this.#at(path, options),
      body: data,
      timeoutMs: options.timeoutMs ?? 0,
    });
  }

  /** What is in a directory, and in those below it down to `depth` levels; 1 unless told. */
  async list(path: string, { depth, ...options }: FileOptions & { depth?: number } = {}): Promise<FileEntry[]> {
    const { query, ...rest } = this.#at(path, options);
    return await this.#transport.call("listFiles", {
      query: { ...query, ...(depth === undefined ? {} : { depth }) },
      ...rest,
    });
  }

  async stat(path: string, options: FileOptions = {}): Promise<FileEntry> {
    return await this.#transport.call("statFile", this.#at(path, options));
  }

  /** Makes a directory, and those above it. */
  async makeDirectory(path: string, { user, ...call }: FileOptions = {}): Promise<FileEntry> {
    const body = { path, ...(user === undefined ? {} : { user }) };
    return await this.#transport.call("makeDirectory", { path: { id: this.#id }, body, ...call });
  }

  async move(source: string, destination: string, { user, ...call }: FileOptions = {}): Promise<FileEntry> {
    const body = { source, destination, ...(user === undefined ? {} : { user }) };
    return await this.#transport.call("moveFile", { path: { id: this.#id }, body, ...call });
  }

  /** Removes a file, or a directory with all that is in it; harmless when there is none. */
  async remove(path: string, options: FileOptions = {}): Promise<void> {
    await this.#transport.call("removeFile", this.#at(path, options));
  }

  /** A directory as a tar archive, as it comes. */
  async readTar(path: string, options: FileOptions = {}): Promise<ReadableStream<Uint8Array<ArrayBuffer>>> {
    return streamOf(path, await this.#transport.response("readTar", this.#at(path, options)));
  }

  /** Unpacks a tar archive into a directory, when all of it has come. */
  async writeTar(path: string, data: RequestBody, options: FileOptions = {}): Promise<{ path: string; size: number }> {
    return await this.#transport.call("writeTar", {
      ...this.#at(path, options),
      body: data,
      timeoutMs: options.timeoutMs ?? 0,
    });
  }

  /** Changes of a directory as they happen; begins with `start`. Leaving the loop ends it. */
  watch(path: string, options: WatchOptions = {}): AsyncGenerator<FileChange, never> {
    return watchDirectory(this.#transport, this.#id, path, options);
  }

  async #read(path: string, options: FileOptions): Promise<Response> {
    return await this.#transport.response("readFile", this.#at(path, options));
  }

  #at(path: string, { user, ...call }: FileOptions) {
    return { path: { id: this.#id }, query: { path, ...(user === undefined ? {} : { user }) }, ...call };
  }
}

function streamOf(path: string, { body }: Response): ReadableStream<Uint8Array<ArrayBuffer>> {
  if (body === null) throw new WrennError("internal", `Cannot read ${path}: the answer has no body`);
  return body;
}
