/**
 * QEMU Machine Protocol over a Unix socket: one JSON object per line, replies matched by id, events
 * handed to whoever waits for them. https://www.qemu.org/docs/master/interop/qmp-spec.html
 */
import type { Socket } from "node:net";
import { createInterface } from "node:readline";
import { WrennError } from "@wrenn/errors";
import { connectWhenListening } from "../connect-when-listening.ts";

interface Pending {
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
}

/** An asynchronous message from QEMU. */
export interface QmpEvent {
  event: string;
  data: Record<string, unknown>;
}

/** One QMP session. QEMU serves one client at a time. */
export class QmpClient {
  readonly #socket: Socket;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Set<(event: QmpEvent) => void>();
  #nextId = 1;
  #closed: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    createInterface({ input: socket })
      .on("line", (line) => this.#onLine(line))
      .on("error", (error: Error) => this.#close(error)); // readline emits its input's errors too
    socket.on("error", (error) => this.#close(error));
    socket.on("close", () => this.#close(new Error("the monitor closed the connection")));
  }

  /** Connects to a socket that exists, and negotiates. */
  static async connect(path: string, signal: AbortSignal): Promise<QmpClient> {
    const client = new QmpClient(await connectWhenListening(path, signal));
    await client.execute("qmp_capabilities", {}, signal);
    return client;
  }

  /**
   * Runs one command.
   * @throws WrennError `internal` with QEMU's own description; the abort reason when canceled, in
   *   which case the command may still take effect
   */
  async execute<T = unknown>(command: string, parameters: Record<string, unknown>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    if (this.#closed !== undefined) throw this.#lost(command);
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { resolve, reject });
    const onAbort = () => reject(signal.reason as Error);
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      this.#socket.write(`${JSON.stringify({ execute: command, arguments: parameters, id })}\n`);
      return (await promise) as T;
    } catch (error) {
      if (error instanceof QmpFailure) {
        throw new WrennError("internal", `Cannot run ${command} in QEMU: ${error.message}`, { cause: error });
      }
      throw this.#closed === undefined ? error : this.#lost(command);
    } finally {
      this.#pending.delete(id);
      signal.removeEventListener("abort", onAbort);
    }
  }

  /** Settles at the first event that `matches`; call it before the command that causes it. */
  async waitFor(matches: (event: QmpEvent) => boolean, signal: AbortSignal): Promise<QmpEvent> {
    const { promise, resolve, reject } = Promise.withResolvers<QmpEvent>();
    const onEvent = (event: QmpEvent) => {
      if (matches(event)) resolve(event);
    };
    const onAbort = () => reject(signal.reason as Error);
    const onClose = () => reject(this.#lost("wait"));
    this.#listeners.add(onEvent);
    signal.addEventListener("abort", onAbort, { once: true });
    this.#socket.once("close", onClose);
    try {
      return await promise;
    } finally {
      this.#listeners.delete(onEvent);
      signal.removeEventListener("abort", onAbort);
      this.#socket.off("close", onClose);
    }
  }

  /** Ends the session; the VM goes on. */
  close(): void {
    this.#socket.destroy();
  }

  #lost(command: string): WrennError {
    return new WrennError("sandbox_unreachable", `Cannot run ${command} in QEMU: it has ended`, {
      cause: this.#closed,
    });
  }

  #close(error: Error): void {
    this.#closed ??= error;
    for (const { reject } of this.#pending.values()) reject(this.#closed);
    this.#pending.clear();
  }

  #onLine(line: string): void {
    const message = JSON.parse(line) as {
      id?: number;
      event?: string;
      data?: Record<string, unknown>;
      error?: { class: string; desc: string };
      return?: unknown;
    };
    if (message.event !== undefined) {
      for (const listener of this.#listeners) listener({ event: message.event, data: message.data ?? {} });
      return;
    }
    const pending = message.id === undefined ? undefined : this.#pending.get(message.id);
    if (message.error === undefined) pending?.resolve(message.return);
    else pending?.reject(new QmpFailure(message.error.desc));
  }
}

class QmpFailure extends Error {}
