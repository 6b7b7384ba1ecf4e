/**
 * One process in a sandbox over a WebSocket: frames out, events in. Reading stops while the consumer is
 * busy, so that a slow terminal slows the process instead of filling memory.
 */
import { once } from "node:events";
import WebSocket from "ws";
import type { ClientFrame, ServerFrame, StartFrameInput } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import { errorOfBody, noAnswer, wrennErrorOf, type ApiClient } from "../api/client.ts";

const OPEN_DEADLINE_MS = 30_000;
const CLOSE_DEADLINE_MS = 2_000;

export class ExecStream {
  readonly #socket: WebSocket;
  readonly #frames: ServerFrame[] = [];
  #wake: () => void = () => undefined;
  #ended = false;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.on("message", (data: Buffer) => {
      this.#frames.push(JSON.parse(data.toString("utf8")) as ServerFrame);
      socket.pause();
      this.#wake();
    });
    socket.on("close", () => {
      this.#ended = true;
      this.#wake();
    });
    socket.on("error", () => undefined); // `close` follows
  }

  /** Connects and starts the process. */
  static async open(
    client: ApiClient,
    sandboxId: string,
    start: StartFrameInput,
    signal: AbortSignal,
  ): Promise<ExecStream> {
    signal.throwIfAborted();
    const url = new URL(`${client.url}/v1/sandboxes/${encodeURIComponent(sandboxId)}/exec/stream`);
    url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
    const socket = new WebSocket(url, {
      headers: client.credentials,
      handshakeTimeout: OPEN_DEADLINE_MS,
      perMessageDeflate: false,
    });
    const stream = new ExecStream(socket);
    const refused = new Promise<never>((_, reject) => {
      socket.once("unexpected-response", (_request, response) => {
        const chunks: Buffer[] = [];
        response.on("data", (chunk: Buffer) => chunks.push(chunk));
        response.on("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          reject(
            errorOfBody(text) ??
              new WrennError("internal", `Cannot run the command: the server answered ${response.statusCode}`),
          );
          socket.terminate();
        });
      });
    });
    try {
      await Promise.race([once(socket, "open", { signal }), refused]);
    } catch (error) {
      socket.terminate();
      if (signal.aborted) throw signal.reason;
      throw error instanceof WrennError ? error : noAnswer(client.url, error);
    } finally {
      refused.catch(() => undefined);
    }
    await stream.send(start);
    return stream;
  }

  /** Resolves when the frame has left; frames after the end are dropped. */
  async send(frame: ClientFrame): Promise<void> {
    if (this.#socket.readyState !== WebSocket.OPEN) return;
    await new Promise<void>((resolve) => this.#socket.send(JSON.stringify(frame), () => resolve()));
  }

  /**
   * The server's frames up to `exit`.
   * @throws WrennError what an `error` frame tells; `unavailable` when the connection is lost
   */
  async *events(): AsyncGenerator<Exclude<ServerFrame, { type: "error" }>> {
    for (;;) {
      const frame = this.#frames.shift();
      if (frame === undefined) {
        if (this.#ended) throw connectionLost();
        this.#socket.resume();
        await new Promise<void>((resolve) => (this.#wake = resolve));
        continue;
      }
      if (frame.type === "error") throw wrennErrorOf(frame.error) ?? new WrennError("internal", frame.data);
      yield frame;
      if (frame.type === "exit") return;
    }
  }

  async close(): Promise<void> {
    if (this.#ended) return;
    this.#socket.resume();
    this.#socket.close();
    const timer = setTimeout(() => this.#socket.terminate(), CLOSE_DEADLINE_MS);
    await once(this.#socket, "close");
    clearTimeout(timer);
  }
}

function connectionLost(): WrennError {
  return new WrennError("unavailable", "Cannot follow the command: the connection to the platform was lost", {
    hint: "See whether the platform runs (./wrenn status) and what it says (./wrenn logs)",
  });
}
