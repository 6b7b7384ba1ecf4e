/**
 * A process in a sandbox, as the host agent streams it: `started` first, then output, `ended` last. The
 * process does not end with the stream; who gives up has to kill it.
 */
import type { Envs } from "@wrenn/api-schema";
import { WrennError } from "@wrenn/errors";
import type { hostagent } from "@wrenn/protocol";
import type { AgentClient } from "../agent/agent-client.ts";
import type { SandboxRow } from "../database/tables.ts";

const SIGKILL = 9;

export interface ProcessSpec {
  cmd: string;
  args?: string[] | undefined;
  envs?: Envs | undefined;
  cwd?: string | undefined;
  user?: string | undefined;
  stdin: boolean;
  timeoutMs: number;
  pty?: { cols: number; rows: number } | undefined;
}

export type OutputKind = "stdout" | "stderr" | "pty";

export type ProcessEvent =
  /** `end`: bytes of this kind up to the end of `data`, counted from the start of the process. */
  | { type: OutputKind; data: Uint8Array; end: number }
  | { type: "ended"; exitCode: number; signal: number; status: string; oom: boolean };

type EventStream = AsyncIterator<{ event?: hostagent.ProcessEvent | undefined }, undefined>;

export class GuestProcess {
  readonly #agent: AgentClient;
  readonly #row: SandboxRow;
  readonly #requestId: string;
  readonly #stream: EventStream;
  readonly #abort: AbortController;
  readonly pid: number;

  private constructor(
    agent: AgentClient,
    row: SandboxRow,
    requestId: string,
    opened: { stream: EventStream; abort: AbortController; pid: number },
  ) {
    this.#agent = agent;
    this.#row = row;
    this.#requestId = requestId;
    this.#stream = opened.stream;
    this.#abort = opened.abort;
    this.pid = opened.pid;
  }

  /**
   * Starts a process and answers when it runs.
   * @throws WrennError `command_failed` when the guest cannot start it.
   */
  static async start(agent: AgentClient, row: SandboxRow, spec: ProcessSpec, requestId: string): Promise<GuestProcess> {
    const abort = new AbortController();
    const stream = agent
      .startProcess(
        {
          sandboxId: row.id,
          incarnation: BigInt(row.incarnation),
          cmd: spec.cmd,
          args: spec.args ?? [],
          envs: spec.envs ?? {},
          cwd: spec.cwd ?? "",
          user: spec.user ?? "",
          stdin: spec.stdin,
          timeoutMs: spec.timeoutMs,
          ...(spec.pty === undefined ? {} : { pty: spec.pty }),
        },
        { signal: abort.signal, requestId },
      )
      [Symbol.asyncIterator]();
    return await GuestProcess.#opened(agent, row, requestId, stream, abort);
  }

  /**
   * Goes on with a process that runs already, or has just ended.
   * @param offsets where to go on, per kind of output; from now on for the others.
   * @throws WrennError `not_found`
   */
  static async connect(
    agent: AgentClient,
    row: SandboxRow,
    pid: number,
    offsets: Partial<Record<OutputKind, number>>,
    requestId: string,
  ): Promise<GuestProcess> {
    const abort = new AbortController();
    const { stdout, stderr, pty } = offsets;
    const stream = agent
      .connectProcess(
        {
          process: { sandboxId: row.id, incarnation: BigInt(row.incarnation), pid },
          ...(stdout === undefined ? {} : { stdoutOffset: BigInt(stdout) }),
          ...(stderr === undefined ? {} : { stderrOffset: BigInt(stderr) }),
          ...(pty === undefined ? {} : { ptyOffset: BigInt(pty) }),
        },
        { signal: abort.signal, requestId },
      )
      [Symbol.asyncIterator]();
    try {
      return await GuestProcess.#opened(agent, row, requestId, stream, abort);
    } catch (cause) {
      if (WrennError.from(cause).code !== "not_found") throw cause;
      throw new WrennError("not_found", `Cannot go on with process ${pid} of sandbox ${row.id}: there is none`, {
        cause,
        hint: "GET /v1/sandboxes/{id}/processes lists those that run",
      });
    }
  }

  static async #opened(
    agent: AgentClient,
    row: SandboxRow,
    requestId: string,
    stream: EventStream,
    abort: AbortController,
  ): Promise<GuestProcess> {
    for (;;) {
      const { value, done } = await stream.next();
      if (done === true)
        throw new WrennError(
          "internal",
          "Cannot follow the process: the host agent ended the stream before it started",
        );
      const event = value.event?.event;
      if (event?.case === "started")
        return new GuestProcess(agent, row, requestId, { stream, abort, pid: event.value.pid });
    }
  }

  /** Everything that the process prints, then how it ended. Not reading holds the process back. */
  async *events(): AsyncGenerator<ProcessEvent> {
    for (;;) {
      const { value, done } = await this.#stream.next();
      if (done === true)
        throw new WrennError("internal", "Cannot follow the process: the host agent ended the stream before it ended");
      const event = value.event?.event;
      switch (event?.case) {
        case "stdout":
        case "stderr":
        case "pty":
          yield { type: event.case, data: event.value, end: Number(value.event?.offset ?? 0n) + event.value.length };
          break;
        case "ended":
          yield { type: "ended", ...event.value };
          return;
        default:
          break; // keep-alives
      }
    }
  }

  async write(data: Uint8Array, terminal: boolean): Promise<void> {
    const input = terminal ? { case: "pty" as const, value: data } : { case: "stdin" as const, value: data };
    // ends with the stream: a process that never reads would hold its writer for ever
    await this.#agent.sendInput(
      { process: this.#ref(), input },
      { requestId: this.#requestId, signal: this.#abort.signal },
    );
  }

  async closeInput(): Promise<void> {
    await this.#agent.closeInput({ process: this.#ref() }, { requestId: this.#requestId });
  }

  async signal(signal: number): Promise<void> {
    await this.#agent.signalProcess({ process: this.#ref(), signal }, { requestId: this.#requestId });
  }

  async resize(size: { cols: number; rows: number }): Promise<void> {
    await this.#agent.resizeProcess({ process: this.#ref(), size }, { requestId: this.#requestId });
  }

  /** Kills the process and its descendants. One that has ended, or a sandbox that is gone, is success. */
  async kill(): Promise<void> {
    try {
      await this.signal(SIGKILL);
    } catch (error) {
      if (!ALREADY_ENDED.has(WrennError.from(error).code)) throw error;
    }
  }

  /** Stops following; the process goes on. */
  detach(): void {
    this.#abort.abort();
  }

  #ref() {
    return { sandboxId: this.#row.id, incarnation: BigInt(this.#row.incarnation), pid: this.pid };
  }
}

const ALREADY_ENDED: ReadonlySet<string> = new Set(["not_found", "stale_incarnation", "invalid_state"]);

/** The exit code that clients see: a shell's convention for a process that a signal ended. */
export function shownExitCode({ exitCode, signal }: { exitCode: number; signal: number }): number {
  return signal === 0 ? exitCode : 128 + signal;
}
