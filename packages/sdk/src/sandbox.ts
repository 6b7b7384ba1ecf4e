import { fromBase64 } from "./bytes.ts";
import { Execution, type AttachOptions, type ExecutionOptions } from "./execution.ts";
import { SandboxFiles } from "./files.ts";
import type { Exec, ForkSandbox, Process, Sandbox as SandboxData, SandboxStatus, Template } from "./generated.ts";
import type { CallOptions, Transport } from "./transport.ts";

export interface RunOptions extends Omit<Exec, "cmd" | "stdin" | "stdin_encoding" | "timeout_sec">, CallOptions {
  /** Its standard input; /dev/null unless given. */
  stdin?: string;
  /** Seconds until it is killed; 30 unless told. */
  timeoutSec?: number;
}

/** How a program ended, and what it printed. */
export interface RunResult {
  exitCode: number;
  /** Name of the signal that ended it. */
  signal: string | undefined;
  /** True when the guest's kernel killed it for memory. */
  oom: boolean;
  stdout: string;
  stderr: string;
  /** The same, exactly, when it is not text. */
  stdoutBytes: Uint8Array;
  stderrBytes: Uint8Array;
  /** True when a stream was longer than 8 MiB and its rest was dropped. */
  truncated: boolean;
  durationMs: number;
}

/**
 * One sandbox. `await using sandbox = await wrenn.sandboxes.create()` destroys it at the end of the block.
 * `data` is what the platform last said of it; `refresh` asks again.
 */
export class Sandbox implements AsyncDisposable {
  readonly #transport: Transport;
  readonly files: SandboxFiles;
  data: SandboxData;

  constructor(transport: Transport, data: SandboxData) {
    this.#transport = transport;
    this.data = data;
    this.files = new SandboxFiles(transport, data.id);
  }

  get id(): string {
    return this.data.id;
  }

  get status(): SandboxStatus {
    return this.data.status;
  }

  /** Asks the platform for its present state. */
  async refresh(options: CallOptions = {}): Promise<this> {
    return this.#learn(await this.#transport.call("getSandbox", { path: { id: this.id }, ...options }));
  }

  /** Runs a program to its end. No shell is in between; the exit code is for you to look at. */
  async run(cmd: string, args: string[] = [], options: RunOptions = {}): Promise<RunResult> {
    const { signal, timeoutMs, requestId, timeoutSec, ...process } = options;
    const result = await this.#transport.call("exec", {
      path: { id: this.id },
      body: { cmd, args, ...process, ...(timeoutSec === undefined ? {} : { timeout_sec: timeoutSec }) },
      signal,
      ...(requestId === undefined ? {} : { requestId }),
      timeoutMs: timeoutMs ?? 0, // the platform keeps its own
    });
    const bytes = (text: string) => (result.encoding === "base64" ? fromBase64(text) : new TextEncoder().encode(text));
    const [stdoutBytes, stderrBytes] = [bytes(result.stdout), bytes(result.stderr)];
    const decoder = new TextDecoder();
    return {
      exitCode: result.exit_code,
      signal: result.signal,
      oom: result.oom,
      stdout: decoder.decode(stdoutBytes),
      stderr: decoder.decode(stderrBytes),
      stdoutBytes,
      stderrBytes,
      truncated: result.truncated,
      durationMs: result.duration_ms,
    };
  }

  /** Runs a line of shell. */
  async shell(line: string, options: RunOptions = {}): Promise<RunResult> {
    return await this.run("sh", ["-c", line], options);
  }

  /** Starts a program and follows it as it goes: output, input, signals, a terminal. */
  async start(cmd: string, options: ExecutionOptions = {}): Promise<Execution> {
    return await Execution.start(this.#transport, this.id, cmd, options);
  }

  /** Goes on with a program that was started with `onDisconnect: "keep"`, by its `pid`. */
  async attach(pid: number, options: AttachOptions = {}): Promise<Execution> {
    return await Execution.attach(this.#transport, this.id, pid, options);
  }

  /** The programs that were started through the API and still run. */
  async processes(options: CallOptions = {}): Promise<Process[]> {
    return await this.#transport.call("listProcesses", { path: { id: this.id }, ...options });
  }

  /** Writes memory and disk away and stops it. */
  async pause(options: CallOptions = {}): Promise<this> {
    return this.#learn(await this.#transport.call("pauseSandbox", { path: { id: this.id }, ...options }));
  }

  /** Lets it go on where it was paused. */
  async resume(options: CallOptions = {}): Promise<this> {
    return this.#learn(await this.#transport.call("resumeSandbox", { path: { id: this.id }, ...options }));
  }

  /** Sandboxes that go on from where this one is, which goes on too; one unless told. */
  async fork(settings: ForkSandbox = {}, options: CallOptions = {}): Promise<Sandbox[]> {
    const children = await this.#transport.call("forkSandbox", { path: { id: this.id }, body: settings, ...options });
    return children.map((data) => new Sandbox(this.#transport, data));
  }

  /** Makes a template of its present state; it goes on. */
  async snapshot(
    { overwrite, ...settings }: { name?: string; overwrite?: boolean } = {},
    options: CallOptions = {},
  ): Promise<Template> {
    return await this.#transport.call("createSnapshot", {
      body: { sandbox_id: this.id, ...settings },
      ...(overwrite === undefined ? {} : { query: { overwrite } }),
      ...options,
    });
  }

  /** Counts as activity: its idle timeout starts again. */
  async ping(options: CallOptions = {}): Promise<void> {
    await this.#transport.call("pingSandbox", { path: { id: this.id }, ...options });
  }

  /** Sets the idle timeout; 0 means never. */
  async setTimeout(timeoutSec: number, options: CallOptions = {}): Promise<this> {
    return this.#learn(
      await this.#transport.call("setSandboxTimeout", {
        path: { id: this.id },
        body: { timeout_sec: timeoutSec },
        ...options,
      }),
    );
  }

  /** Destroys it; harmless when it is gone. */
  async destroy(options: CallOptions = {}): Promise<void> {
    await this.#transport.call("destroySandbox", { path: { id: this.id }, ...options });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.destroy();
  }

  #learn(data: SandboxData): this {
    this.data = data;
    return this;
  }
}
