/**
 * The SDK, as the CLI uses it: with the API's errors as the CLI's own, and WebSockets that hold a fast
 * process back while the terminal is slow.
 */
import WebSocket from "ws";
import { isErrorCode, WrennError } from "@wrenn/errors";
import {
  Wrenn,
  WrennError as ApiError,
  type Answer,
  type AttachOptions,
  type CallArguments,
  type Event,
  type EventOptions,
  type Execution,
  type ExecutionOptions,
  type OperationId,
  type WebSocketLike,
} from "@wrenn/sdk";
import type { Outgoing } from "../files/outgoing.ts";
import { hintForCommandLine, messageForCommandLine } from "./hint.ts";

const OPEN_DEADLINE_MS = 30_000;
/** The first sandbox of a template boots it, and a snapshot is written and read whole: both take their time. */
const DEADLINE_MS = 600_000;

export interface SandboxPath {
  id: string;
  path: string;
}

export class ApiClient {
  readonly url: string;
  /** The headers that tell who asks. */
  readonly credentials: Readonly<Record<string, string>>;
  readonly #wrenn: Wrenn;

  constructor({ url, credentials }: { url: string; credentials: Readonly<Record<string, string>> }) {
    this.url = url;
    this.credentials = credentials;
    try {
      this.#wrenn = new Wrenn({
        url,
        headers: credentials,
        timeoutMs: DEADLINE_MS,
        webSocket: (address) =>
          new WebSocket(address, {
            headers: credentials,
            handshakeTimeout: OPEN_DEADLINE_MS,
            perMessageDeflate: false,
          }) as WebSocketLike,
      });
    } catch (error) {
      throw ownError(error);
    }
  }

  /** Any operation of the API, by its id. */
  async call<Id extends OperationId>(id: Id, ...input: CallArguments<Id>): Promise<Answer<Id>> {
    return await own(this.#wrenn.call(id, ...input));
  }

  /** Every item of a list, page by page. */
  async *list<Id extends OperationId>(
    id: Answer<Id> extends unknown[] ? Id : never,
    ...input: CallArguments<Id>
  ): AsyncGenerator<Answer<Id> extends (infer Item)[] ? Item : never> {
    try {
      yield* this.#wrenn.list(id, ...input);
    } catch (error) {
      throw ownError(error);
    }
  }

  async destroySandbox(id: string, signal?: AbortSignal): Promise<void> {
    await this.call("destroySandbox", { path: { id }, signal });
  }

  /** The bytes of a file in a sandbox, or a directory of it as a tar archive. */
  async receive(
    operation: "readFile" | "readTar",
    { id, path }: SandboxPath,
    signal: AbortSignal,
  ): Promise<AsyncIterable<Uint8Array>> {
    const request = { path: { id }, query: { path }, signal };
    return bytesOf(await own(this.#wrenn.response(operation, request)), signal);
  }

  /** The console of a sandbox's VM; with `follow` until it stops. */
  async readLogs(id: string, follow: boolean, signal: AbortSignal): Promise<AsyncIterable<Uint8Array>> {
    const request = { path: { id }, query: { follow }, signal, timeoutMs: 0 };
    return bytesOf(await own(this.#wrenn.response("readSandboxLogs", request)), signal);
  }

  /** The team's events as they happen; goes on where a lost connection broke. */
  async *events(options: EventOptions): AsyncGenerator<Event> {
    try {
      yield* this.#wrenn.events(options);
    } catch (error) {
      throw ownError(error);
    }
  }

  /** Writes a file of a sandbox, or unpacks an archive in a directory of it, when all of it has come. */
  async send(
    operation: "writeFile" | "writeTar",
    { id, path }: SandboxPath,
    content: Outgoing,
    signal: AbortSignal,
  ): Promise<void> {
    try {
      await this.call(operation, { path: { id }, query: { path }, body: content.stream, signal, timeoutMs: 0 });
    } catch (error) {
      throw content.failure ?? error;
    }
  }

  /** Starts a process; what its iteration throws goes through {@link ownError}. */
  async start(id: string, cmd: string, options: ExecutionOptions): Promise<Execution> {
    return await own(this.#wrenn.execute(id, cmd, options));
  }

  /** Goes on with a process that runs already; as {@link ApiClient.start}. */
  async attach(id: string, pid: number, options: AttachOptions): Promise<Execution> {
    return await own(this.#wrenn.attach(id, pid, options));
  }
}

/** What an answer holds, as it comes. @throws WrennError `unavailable` when it breaks off */
async function* bytesOf({ body, url }: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  if (body === null) throw new WrennError("internal", `Cannot read ${url}: the answer has no body`);
  try {
    yield* body;
  } catch (cause) {
    signal.throwIfAborted();
    throw new WrennError("unavailable", "Cannot read all of it: the connection to the platform was lost", {
      cause,
      hint: "See whether the sandbox still runs (wrenn sandbox list), then repeat it",
    });
  }
}

async function own<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw ownError(error);
  }
}

/** What the SDK throws, as one of the CLI's errors. */
export function ownError(thrown: unknown): WrennError {
  if (!(thrown instanceof ApiError)) return WrennError.from(thrown);
  return new WrennError(isErrorCode(thrown.code) ? thrown.code : "internal", messageForCommandLine(thrown.message), {
    cause: thrown,
    ...(thrown.hint === undefined ? {} : { hint: hintForCommandLine(thrown.hint) }),
    ...(thrown.requestId === undefined ? {} : { requestId: thrown.requestId }),
  });
}
