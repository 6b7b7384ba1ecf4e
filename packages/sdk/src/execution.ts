/** A process in a sandbox over a WebSocket: what it prints comes as events, what it reads is sent. */
import { fromBase64, toBase64 } from "./bytes.ts";
import { errorOf, WrennError } from "./errors.ts";
import type { Exec } from "./generated.ts";
import { unreachable, type Transport, type WebSocketLike } from "./transport.ts";

/** Frames that wait to be read before the socket is held back, where it can be. */
const HIGH_WATER_FRAMES = 64;
/** Bytes on their way out above which `write` waits. */
const HIGH_WATER_BYTES = 1_048_576;
const DRAIN_INTERVAL_MS = 10;
const OPEN = 1;

/** How a process is started. */
export interface ExecutionOptions extends Pick<Exec, "args" | "envs" | "cwd" | "user"> {
  /** Opens a standard input; without it is /dev/null. A terminal always has one. */
  stdin?: boolean;
  /** Runs it in a terminal of this size; its output comes as `pty`. */
  pty?: { cols: number; rows: number };
  /** Kills it after this time; 0 means never. */
  timeoutMs?: number;
  /** What happens to it when the connection ends. */
  onDisconnect?: "kill" | "keep";
  signal?: AbortSignal | undefined;
}

export interface OutputEvent {
  type: "stdout" | "stderr" | "pty";
  data: Uint8Array<ArrayBuffer>;
}
export interface ExitEvent {
  type: "exit";
  /** 0 to 255, or 128 + N when signal N ended it. */
  exitCode: number;
  /** Name of the signal that ended it. */
  signal: string | undefined;
  /** True when the guest's kernel killed it for memory. */
  oom: boolean;
  /** The guest's own words. */
  status: string;
}
export type ExecutionEvent = { type: "start"; pid: number } | OutputEvent | ExitEvent;

interface Frame {
  type: string;
  pid: number;
  data: string;
  encoding: "utf-8" | "base64";
  exit_code: number;
  signal?: string;
  oom: boolean;
  status: string;
  error: unknown;
}

/**
 * Iterate it to follow the process to its end; `exit` is the last event. Leaving the loop early, or
 * `await using`, closes the connection, which kills the process unless `onDisconnect` is `keep`.
 */
export class Execution implements AsyncIterable<ExecutionEvent>, AsyncDisposable {
  readonly #socket: WebSocketLike;
  readonly #url: string;
  readonly #frames: Frame[] = [];
  #wake: () => void = () => undefined;
  #closed = false;
  #held = false;

  private constructor(socket: WebSocketLike, url: string) {
    this.#socket = socket;
    this.#url = url;
    socket.addEventListener("message", ({ data }) => this.#receive(JSON.parse(String(data)) as Frame));
    socket.addEventListener("close", () => {
      this.#closed = true;
      this.#wake();
    });
    socket.addEventListener("error", () => undefined); // `close` follows
  }

  /** Connects and starts the process. */
  static async start(
    transport: Transport,
    sandboxId: string,
    cmd: string,
    options: ExecutionOptions,
  ): Promise<Execution> {
    const { signal, onDisconnect, timeoutMs, ...start } = options;
    signal?.throwIfAborted();
    const url = transport.urlOf("/v1/sandboxes/{id}/exec/stream", { path: { id: sandboxId } });
    const socket = await transport.openSocket(url, signal);
    const execution = new Execution(socket, transport.url);
    const onAbort = () => socket.close();
    signal?.addEventListener("abort", onAbort, { once: true });
    socket.addEventListener("close", () => signal?.removeEventListener("abort", onAbort));
    const opened = await new Promise<boolean>((resolve) => {
      socket.addEventListener("open", () => resolve(true));
      socket.addEventListener("close", () => resolve(false));
    });
    signal?.throwIfAborted();
    if (!opened) throw await refusal(transport, sandboxId, signal);
    await execution.#send({
      type: "start",
      cmd,
      encoding: "base64",
      ...start,
      ...(timeoutMs === undefined ? {} : { timeout_ms: timeoutMs }),
      ...(onDisconnect === undefined ? {} : { on_disconnect: onDisconnect }),
    });
    return execution;
  }

  /** Sends to its standard input, or types into its terminal. Resolves when little of it is left to be sent. */
  async write(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    await this.#send({ type: "stdin", data: toBase64(bytes) });
  }

  /** Ends its standard input. */
  async closeInput(): Promise<void> {
    await this.#send({ type: "close_stdin" });
  }

  /** Sends a signal by its Linux name, such as `SIGINT`. */
  async kill(signal = "SIGTERM"): Promise<void> {
    await this.#send({ type: "signal", signal });
  }

  /** Tells its terminal's new size. */
  async resize(size: { cols: number; rows: number }): Promise<void> {
    await this.#send({ type: "resize", ...size });
  }

  /** Kills it and all that it started. */
  async stop(): Promise<void> {
    await this.#send({ type: "stop" });
  }

  /** Follows it to its end, without its output. */
  async wait(): Promise<ExitEvent> {
    for await (const event of this) if (event.type === "exit") return event;
    throw lost(this.#url);
  }

  /** @throws WrennError what the platform says is wrong; `unavailable` when the connection is lost */
  async *[Symbol.asyncIterator](): AsyncGenerator<ExecutionEvent, void, undefined> {
    try {
      for (;;) {
        const frame = this.#frames.shift();
        if (frame === undefined) {
          if (this.#closed) throw lost(this.#url);
          this.#release();
          await new Promise<void>((resolve) => (this.#wake = resolve));
          continue;
        }
        if (frame.type === "error") throw errorOf(frame.error) ?? new WrennError("internal", frame.data);
        yield eventOf(frame);
        if (frame.type === "exit") return;
      }
    } finally {
      await this.close();
    }
  }

  /** Ends the connection. */
  async close(): Promise<void> {
    if (this.#closed) return;
    this.#release();
    this.#socket.close(1_000);
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, 2_000);
      this.#socket.addEventListener("close", () => {
        clearTimeout(timer);
        resolve();
      });
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  #receive(frame: Frame): void {
    this.#frames.push(frame);
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

  /** Frames after the end are dropped. */
  async #send(frame: object): Promise<void> {
    if (this.#socket.readyState !== OPEN) return;
    this.#socket.send(JSON.stringify(frame));
    // a WebSocket has no event for this
    while (this.#socket.bufferedAmount > HIGH_WATER_BYTES && this.#socket.readyState === OPEN)
      await new Promise((resolve) => setTimeout(resolve, DRAIN_INTERVAL_MS));
  }
}

function eventOf(frame: Frame): ExecutionEvent {
  switch (frame.type) {
    case "start":
      return { type: "start", pid: frame.pid };
    case "exit":
      return {
        type: "exit",
        exitCode: frame.exit_code,
        signal: frame.signal,
        oom: frame.oom,
        status: frame.status,
      };
    default:
      return {
        type: frame.type as OutputEvent["type"],
        data: frame.encoding === "base64" ? fromBase64(frame.data) : new TextEncoder().encode(frame.data),
      };
  }
}

/** Why a WebSocket was refused: no runtime tells, but the same request without the upgrade does. */
async function refusal(transport: Transport, id: string, signal: AbortSignal | undefined): Promise<WrennError> {
  try {
    await transport.response("execStream", { path: { id }, signal, timeoutMs: 10_000 });
  } catch (error) {
    if (!(error instanceof WrennError)) throw error;
    if (error.code !== "invalid_request") return error;
  }
  return unreachable(transport.url, new Error("the WebSocket was refused"));
}

function lost(url: string): WrennError {
  return new WrennError("unavailable", "Cannot follow the command: the connection to the platform was lost", {
    hint: `See whether the platform at ${url} runs (./wrenn status) and what it says (./wrenn logs)`,
  });
}
