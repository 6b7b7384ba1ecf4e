/** A client of `exec/stream` for tests: frames in, frames out. */
import { once } from "node:events";
import { WebSocket } from "ws";
import type { ClientFrame, ServerFrame } from "@wrenn/api-schema";
import type { Platform } from "../first-light/platform.ts";

export class ExecClient {
  readonly socket: WebSocket;
  readonly frames: ServerFrame[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  #onFrame: () => void = () => undefined;

  constructor(platform: Platform, sandboxId: string, start: ClientFrame) {
    this.socket = new WebSocket(`${platform.url.replace("http:", "ws:")}/v1/sandboxes/${sandboxId}/exec/stream`, {
      headers: { "x-api-key": platform.apiKey },
    });
    this.socket.once("open", () => this.send(start));
    this.socket.on("message", (data: Buffer) => {
      this.frames.push(JSON.parse(data.toString()) as ServerFrame);
      this.#onFrame();
    });
    this.closed = once(this.socket, "close").then(([code, reason]) => ({
      code: code as number,
      reason: String(reason),
    }));
  }

  send(frame: ClientFrame): void {
    this.socket.send(JSON.stringify(frame));
  }

  sendInput(data: string | Buffer): void {
    this.send({ type: "stdin", data: Buffer.from(data).toString("base64") });
  }

  /** The first frame that fits, now or later. */
  async until(fits: (frame: ServerFrame, all: ServerFrame[]) => boolean): Promise<ServerFrame> {
    for (;;) {
      const found = this.frames.find((frame) => fits(frame, this.frames));
      if (found !== undefined) return found;
      await Promise.race([
        new Promise<void>((resolve) => (this.#onFrame = resolve)),
        this.closed.then(() =>
          Promise.reject(new Error(`the stream ended with ${JSON.stringify(this.frames.slice(-3))}`)),
        ),
      ]);
    }
  }

  /** Everything of one stream, decoded. */
  output(type: "stdout" | "stderr" | "pty"): Buffer {
    return Buffer.concat(
      this.frames.flatMap((frame) => (frame.type === type ? [Buffer.from(frame.data, frame.encoding)] : [])),
    );
  }

  /** The last frame, once the server has closed. */
  async end(): Promise<ServerFrame | undefined> {
    await this.closed;
    return this.frames.at(-1);
  }
}
