/** A program in a sandbox as it goes: what it prints comes as events, what it reads is sent. */
import { fromBase64, toBase64 } from "./bytes.ts";
import { errorOf, WrennError } from "./errors.ts";
import { FrameSocket } from "./frame-socket.ts";
import type { Exec } from "./generated.ts";
import type { Transport } from "./transport.ts";

/** How a program is started. */
export interface ExecutionOptions extends Pick<Exec, "args" | "envs" | "cwd" | "user"> {
  /** Opens a standard input; without it is /dev/null. A terminal always has one. */
  stdin?: boolean;
  /** Runs it in a terminal of this size; its output comes as `pty`. */
  pty?: { cols: number; rows: number };
  /** Kills it after this time; 0 means never. */
  timeoutMs?: number;
  /** What happens to it when the connection ends; `kill` unless told. */
  onDisconnect?: "kill" | "keep";
  signal?: AbortSignal | undefined;
}

/** How a program that runs already is gone on with. */
export interface AttachOptions {
  /** The last `offset` of each kind of output that came; what was missed since is sent first. */
  offsets?: { stdout?: number; stderr?: number; pty?: number };
  /** Sends input to its terminal. */
  pty?: boolean;
  /** What happens to it when the connection ends; `keep` unless told. */
  onDisconnect?: "kill" | "keep";
  signal?: AbortSignal | undefined;
}

export interface OutputEvent {
  type: "stdout" | "stderr" | "pty";
  data: Uint8Array<ArrayBuffer>;
  /** Bytes of this kind up to the end of `data`, since the program's start. */
  offset: number;
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
  offset: number;
  exit_code: number;
  signal?: string;
  oom: boolean;
  status: string;
  error: unknown;
}

/**
 * Iterate it to follow the program to its end; `exit` is the last event. Leaving the loop early, or
 * `await using`, closes the connection, which kills the program unless `onDisconnect` is `keep`.
 */
export class Execution implements AsyncIterable<ExecutionEvent>, AsyncDisposable {
  readonly #socket: FrameSocket;
  readonly #url: string;

  private constructor(socket: FrameSocket, url: string) {
    this.#socket = socket;
    this.#url = url;
  }

  /** Connects and starts the program. */
  static async start(
    transport: Transport,
    sandboxId: string,
    cmd: string,
    { signal, onDisconnect, timeoutMs, ...start }: ExecutionOptions,
  ): Promise<Execution> {
    return await Execution.#begin(transport, sandboxId, signal, {
      type: "start",
      cmd,
      encoding: "base64",
      ...start,
      timeout_ms: timeoutMs,
      on_disconnect: onDisconnect,
    });
  }

  /** Connects to a program that runs, such as one that was started with `onDisconnect: "keep"`. */
  static async attach(
    transport: Transport,
    sandboxId: string,
    pid: number,
    { signal, onDisconnect, ...connect }: AttachOptions,
  ): Promise<Execution> {
    return await Execution.#begin(transport, sandboxId, signal, {
      type: "connect",
      pid,
      encoding: "base64",
      ...connect,
      on_disconnect: onDisconnect,
    });
  }

  static async #begin(transport: Transport, id: string, signal: AbortSignal | undefined, first: object) {
    const socket = await FrameSocket.open(transport, "execStream", { path: { id } }, signal);
    await socket.send(first);
    return new Execution(socket, transport.url);
  }

  /** Sends to its standard input, or types into its terminal. Resolves when little of it is left to be sent. */
  async write(data: string | Uint8Array): Promise<void> {
    const bytes = typeof data === "string" ? new TextEncoder().encode(data) : data;
    await this.#socket.send({ type: "stdin", data: toBase64(bytes) });
  }

  /** Ends its standard input. */
  async closeInput(): Promise<void> {
    await this.#socket.send({ type: "close_stdin" });
  }

  /** Sends a signal by its Linux name, such as `SIGINT`. */
  async kill(signal = "SIGTERM"): Promise<void> {
    await this.#socket.send({ type: "signal", signal });
  }

  /** Tells its terminal's new size. */
  async resize(size: { cols: number; rows: number }): Promise<void> {
    await this.#socket.send({ type: "resize", ...size });
  }

  /** Kills it and all that it started. */
  async stop(): Promise<void> {
    await this.#socket.send({ type: "stop" });
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
        const frame = (await this.#socket.next()) as Frame | undefined;
        if (frame === undefined) throw lost(this.#url);
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
    await this.#socket.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
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
        offset: frame.offset,
      };
  }
}

function lost(url: string): WrennError {
  return new WrennError("unavailable", "Cannot follow the command: the connection to the platform was lost", {
    hint: `See whether the platform at ${url} runs (./wrenn status) and what it says (./wrenn logs)`,
  });
}
