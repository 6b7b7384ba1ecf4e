/**
 * One WebSocket and the process behind it. Frames: packages/api-schema/src/exec-stream.ts.
 *
 * Backpressure: while the client does not read, the process's output is not read either, and the guest
 * blocks it; while the process does not read its input, the socket is not read. Both queues are bounded.
 */
import type { FastifyBaseLogger } from "fastify";
import type { WebSocket } from "ws";
import {
  ConnectFrame,
  CONTROL_FRAMES,
  SIGNALS,
  signalName,
  StartFrame,
  type ControlFrame,
  type ServerFrame,
} from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { AgentClient } from "../agent/agent-client.ts";
import type { SandboxRow } from "../database/tables.ts";
import { toApiError } from "../http/errors.ts";
import { keepAlive } from "../http/websocket-keep-alive.ts";
import { compileValidation } from "../http/validation.ts";
import { checkEnvs } from "../sandboxes/limits.ts";
import { GuestProcess, shownExitCode, type OutputKind, type ProcessEvent } from "./guest-process.ts";
import { Utf8Chunks } from "./utf8-chunks.ts";

/** Largest frame of a client: a `start` with all of its variables, or a chunk of input. */
export const MAX_FRAME_BYTES = 4 * 1_024 * 1_024;
/** Bytes waiting for the client above which the process is not read any further. */
const HIGH_WATER_BYTES = 1_048_576;
/** Frames waiting for the process above which the client is not read any further. */
const MAX_WAITING_FRAMES = 16;
/** Time for the first frame. */
const START_DEADLINE_MS = 30_000;
/** RFC 6455, 7.4.1. */
const CLOSE_NORMAL = 1_000;
const CLOSE_GOING_AWAY = 1_001;
const CLOSE_ERROR = 1_011;

const validateStart = compileValidation(StartFrame, { what: "the start frame", convert: false });
const validateConnect = compileValidation(ConnectFrame, { what: "the connect frame", convert: false });
const validateControl = new Map(
  Object.entries(CONTROL_FRAMES).map(([type, schema]) => [
    type,
    compileValidation(schema, { what: `the ${type} frame`, convert: false }),
  ]),
);

export interface ExecSessionOptions {
  socket: WebSocket;
  agent: AgentClient;
  row: SandboxRow;
  requestId: string;
  log: FastifyBaseLogger;
}

export class ExecSession {
  readonly #options: ExecSessionOptions;
  readonly #socket: WebSocket;
  /** Settles when the socket is closed and the process is dealt with. */
  readonly finished: Promise<void>;
  #spec: StartFrame | ConnectFrame | undefined;
  #process: Promise<GuestProcess> | undefined;
  #ended = false;
  #waiting: ControlFrame[] = [];
  #draining = false;

  /** Attaches its handlers at once: frames that come during an await would be lost. */
  constructor(options: ExecSessionOptions) {
    this.#options = options;
    this.#socket = options.socket;
    const startTimer = setTimeout(
      () => void this.#fail(new WrennError("timeout", "Cannot start a process: no start frame came")),
      START_DEADLINE_MS,
    );
    keepAlive(this.#socket);
    this.#socket.on("message", (data, isBinary) => this.#receive(data as Buffer, isBinary, startTimer));
    this.finished = new Promise((resolve) => {
      this.#socket.once("close", () => {
        clearTimeout(startTimer);
        void this.#leave().finally(resolve);
      });
    });
  }

  /** The server stops: the client is told, a process without `keep` is killed. */
  async shutDown(): Promise<void> {
    await this.#fail(
      new WrennError("unavailable", "Cannot go on: the control plane is stopping", { hint: "Connect again" }),
      CLOSE_GOING_AWAY,
    );
    await this.finished;
  }

  #receive(data: Buffer, isBinary: boolean, startTimer: NodeJS.Timeout): void {
    if (this.#ended) return;
    try {
      const frame = parseFrame(data, isBinary);
      if (this.#spec === undefined) {
        const spec = validFirst(frame);
        clearTimeout(startTimer);
        this.#spec = spec;
        void this.#run(spec);
        return;
      }
      this.#enqueue(validControl(frame));
    } catch (error) {
      void this.#fail(error);
    }
  }

  async #run(spec: StartFrame | ConnectFrame): Promise<void> {
    try {
      this.#process = this.#open(spec);
      this.#process.catch(() => undefined); // awaited below; the queue of frames awaits it as well
      const child = await this.#process;
      await this.#send({ type: "start", pid: child.pid });
      await this.#relay(child, spec.encoding);
    } catch (error) {
      if (!this.#ended) await this.#fail(error);
    }
  }

  async #open(spec: StartFrame | ConnectFrame): Promise<GuestProcess> {
    const { agent, row, requestId } = this.#options;
    if (spec.type === "connect") return await GuestProcess.connect(agent, row, spec.pid, spec.offsets ?? {}, requestId);
    const stdin = spec.stdin || spec.pty !== undefined;
    return await GuestProcess.start(agent, row, { ...spec, stdin, timeoutMs: spec.timeout_ms }, requestId);
  }

  async #relay(child: GuestProcess, encoding: StartFrame["encoding"]): Promise<void> {
    const texts = { stdout: new Utf8Chunks(), stderr: new Utf8Chunks(), pty: new Utf8Chunks() };
    const ends: Record<OutputKind, number> = { stdout: 0, stderr: 0, pty: 0 };
    for await (const event of child.events()) {
      if (this.#socket.readyState !== this.#socket.OPEN) return;
      if (event.type !== "ended") {
        const { type, end } = event;
        const bytes = Buffer.from(event.data.buffer, event.data.byteOffset, event.data.byteLength);
        ends[type] = end;
        if (encoding === "base64") {
          await this.#send({ type, data: bytes.toString("base64"), encoding, offset: end });
        } else {
          const { text, heldBytes } = texts[type].push(bytes);
          if (text !== "") await this.#send({ type, data: text, encoding, offset: end - heldBytes });
        }
        continue;
      }
      for (const type of ["stdout", "stderr", "pty"] as const) {
        const rest = texts[type].end();
        if (rest !== "") await this.#send({ type, data: rest, encoding: "utf-8", offset: ends[type] });
      }
      await this.#send(exitFrame(event));
      this.#ended = true;
      child.detach();
      this.#socket.close(CLOSE_NORMAL);
    }
  }

  /** Control frames reach the process one after the other, in order. */
  #enqueue(frame: ControlFrame): void {
    this.#waiting.push(frame);
    if (this.#waiting.length >= MAX_WAITING_FRAMES) this.#socket.pause();
    if (!this.#draining) void this.#drain();
  }

  async #drain(): Promise<void> {
    this.#draining = true;
    try {
      const child = await this.#process;
      if (child === undefined) return;
      for (let frame = this.#waiting.shift(); frame !== undefined && !this.#ended; frame = this.#waiting.shift()) {
        await this.#control(child, frame);
        if (this.#waiting.length < MAX_WAITING_FRAMES && this.#socket.isPaused) this.#socket.resume();
      }
    } catch (error) {
      // what a process that has just ended refuses is told by its exit frame
      if (!this.#ended && !RACES_WITH_EXIT.has(WrennError.from(error).code)) await this.#fail(error);
    } finally {
      this.#draining = false;
      if (this.#socket.isPaused) this.#socket.resume();
    }
  }

  async #control(child: GuestProcess, frame: ControlFrame): Promise<void> {
    switch (frame.type) {
      case "stdin":
        return await child.write(Buffer.from(frame.data, "base64"), hasTerminal(this.#spec));
      case "close_stdin":
        return await child.closeInput();
      case "signal":
        return await child.signal(SIGNALS[frame.signal]);
      case "resize":
        return await child.resize({ cols: frame.cols, rows: frame.rows });
      case "stop":
        return await child.kill();
    }
  }

  /** The socket is closed: a process that nobody follows any more is killed unless it is to be kept. */
  async #leave(): Promise<void> {
    const finished = this.#ended;
    this.#ended = true;
    if (this.#process === undefined || finished) return;
    try {
      const child = await this.#process;
      if (this.#spec?.on_disconnect !== "keep") await child.kill();
      child.detach();
    } catch (error) {
      this.#options.log.warn({ err: error }, "cannot kill the process of a client that left");
    }
  }

  /** Tells the client what is wrong and closes; the process is dealt with when the socket is closed. */
  async #fail(thrown: unknown, closeCode = CLOSE_ERROR): Promise<void> {
    if (this.#ended) return;
    const error = toApiError(thrown);
    const { log, requestId } = this.#options;
    if (error.fault === "platform") log.error({ code: error.code, err: error }, "stream failed");
    const body = error.toBody(requestId).error;
    this.#send({ type: "error", data: body.message, error: body }).catch(() => undefined);
    this.#socket.close(closeCode, error.code);
  }

  /** Answers when the client may be sent more. */
  async #send(frame: ServerFrame): Promise<void> {
    if (this.#socket.readyState !== this.#socket.OPEN) return;
    const text = JSON.stringify(frame);
    if (this.#socket.bufferedAmount < HIGH_WATER_BYTES) {
      this.#socket.send(text);
      return;
    }
    await new Promise<void>((resolve) => this.#socket.send(text, () => resolve()));
  }
}

/** Errors of calls about a process that may have ended meanwhile. */
const RACES_WITH_EXIT: ReadonlySet<string> = new Set(["not_found", "canceled", "invalid_state"]);

function exitFrame({ exitCode, signal, status, oom }: Extract<ProcessEvent, { type: "ended" }>): ServerFrame {
  return {
    type: "exit",
    exit_code: shownExitCode({ exitCode, signal }),
    ...(signal === 0 ? {} : { signal: signalName(signal) }),
    status,
    oom,
  };
}

function parseFrame(data: Buffer, isBinary: boolean): unknown {
  if (isBinary)
    throw new WrennError("invalid_request", "Cannot read a binary frame: frames are JSON text", {
      hint: "Send bytes as base64 in a stdin frame",
    });
  try {
    return JSON.parse(data.toString("utf8")) as unknown;
  } catch (cause) {
    throw new WrennError("invalid_request", "Cannot read the frame: it is not JSON", {
      cause,
      hint: "docs/reference/api.md describes every frame",
    });
  }
}

/** @throws WrennError `invalid_request` */
function validFirst(frame: unknown): StartFrame | ConnectFrame {
  if (typeof frame === "object" && frame !== null && "type" in frame && frame.type === "connect")
    return validateConnect(frame) as ConnectFrame;
  const spec = validateStart(frame) as StartFrame;
  checkEnvs(spec.envs);
  return spec;
}

function hasTerminal(spec: StartFrame | ConnectFrame | undefined): boolean {
  return spec?.pty !== undefined && spec.pty !== false;
}

function validControl(frame: unknown): ControlFrame {
  const type = typeof frame === "object" && frame !== null && "type" in frame ? frame.type : undefined;
  const validate = typeof type === "string" ? validateControl.get(type) : undefined;
  if (validate !== undefined) return validate(frame) as ControlFrame;
  throw new WrennError(
    "invalid_request",
    `Cannot use a frame of type ${JSON.stringify(type)}: after start come ${[...validateControl.keys()].join(", ")}`,
    {
      hint: "docs/reference/api.md describes every frame",
    },
  );
}
