/**
 * JSON frames over a WebSocket. What comes waits until it is read; a server that is faster than the
 * reader is held back where the runtime can do that.
 */
import { WrennError } from "./errors.ts";
import { OPERATIONS } from "./generated.ts";
import { unreachable, type Transport, type WebSocketLike } from "./transport.ts";

/** Frames that wait to be read before the socket is held back. */
const HIGH_WATER_FRAMES = 64;
/** Bytes on their way out above which `send` waits. */
const HIGH_WATER_BYTES = 1_048_576;
const DRAIN_INTERVAL_MS = 10;
const CLOSE_DEADLINE_MS = 2_000;
const REFUSAL_DEADLINE_MS = 10_000;
const OPEN = 1;
const NORMAL_CLOSURE = 1_000;

interface Address {
  path: Record<string, string>;
  query?: Record<string, unknown>;
}

export class FrameSocket {
  readonly #socket: WebSocketLike;
  readonly #signal: AbortSignal | undefined;
  readonly #frames: string[] = [];
  #wake: () => void = () => undefined;
  #closed = false;
  #closing: Promise<void> | undefined;
  #held = false;

  private constructor(socket: WebSocketLike, signal: AbortSignal | undefined) {
    this.#socket = socket;
    this.#signal = signal;
    const onAbort = () => {
      socket.close();
      this.#wake();
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.addEventListener("message", ({ data }) => this.#receive(String(data)));
    socket.addEventListener("close", () => {
      this.#closed = true;
      signal?.removeEventListener("abort", onAbort);
      this.#wake();
    });
    socket.addEventListener("error", () => undefined); // `close` follows
  }

  /** @throws WrennError why the platform refused it; the signal's reason */
  static async open(
    transport: Transport,
    id: "execStream" | "watchFiles",
    address: Address,
    signal: AbortSignal | undefined,
  ): Promise<FrameSocket> {
    signal?.throwIfAborted();
    const socket = await transport.openSocket(transport.urlOf(OPERATIONS[id].path, address), signal);
    const frames = new FrameSocket(socket, signal);
    const opened = await new Promise<boolean>((resolve) => {
      socket.addEventListener("open", () => resolve(true));
      socket.addEventListener("close", () => resolve(false));
    });
    signal?.throwIfAborted();
    if (!opened) throw await refusal(transport, id, address, signal);
    return frames;
  }

  /**
   * The next frame; undefined when the connection has ended.
   * @throws the signal's reason; WrennError `internal` for what is no frame
   */
  async next(): Promise<unknown> {
    for (;;) {
      this.#signal?.throwIfAborted();
      const text = this.#frames.shift();
      if (text !== undefined) return parse(text);
      if (this.#closed) return undefined;
      this.#release();
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  /** Resolves when little is left to be sent. Frames after the end are dropped. */
  async send(frame: object): Promise<void> {
    if (this.#socket.readyState !== OPEN) return;
    this.#socket.send(JSON.stringify(frame));
    // a WebSocket has no event for this
    while (this.#socket.bufferedAmount > HIGH_WATER_BYTES && this.#socket.readyState === OPEN)
      await new Promise((resolve) => setTimeout(resolve, DRAIN_INTERVAL_MS));
  }

  /** Ends the connection. A server that does not answer is not waited for; after an abort none is. */
  async close(): Promise<void> {
    if (this.#signal?.aborted !== true) await (this.#closing ??= this.#close());
  }

  async #close(): Promise<void> {
    if (this.#closed) return;
    this.#release();
    this.#socket.close(NORMAL_CLOSURE);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, CLOSE_DEADLINE_MS);
      this.#socket.addEventListener("close", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  #receive(text: string): void {
    this.#frames.push(text);
    if (this.#frames.length >= HIGH_WATER_FRAMES && this.#socket.pause !== undefined) {
      this.#socket.pause();
      this.#held = true;
    }
    this.#wake();
  }

  #release(): void {
    if (!this.#held) return;
    this.#held = false;
    this.#socket.resume?.();
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new WrennError("internal", `Cannot read a frame of the server: ${text.slice(0, 200)}`, { cause });
  }
}

/** Why a WebSocket was refused: no runtime tells, but the same request without the upgrade does. */
async function refusal(
  transport: Transport,
  id: "execStream" | "watchFiles",
  address: Address,
  signal: AbortSignal | undefined,
): Promise<WrennError> {
  try {
    await transport.response(id, { ...address, signal, timeoutMs: REFUSAL_DEADLINE_MS });
  } catch (error) {
    if (!(error instanceof WrennError)) throw error;
    if (error.code !== "invalid_request") return error;
  }
  return unreachable(transport.url, new Error("the WebSocket was refused"));
}
