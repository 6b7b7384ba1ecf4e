/** A person at a shell: commands one after the other in one bash, so that variables stay. */
import { spawn, type ChildProcessWithoutNullStreams } from "node:child_process";
import { once } from "node:events";

export interface Told {
  code: number;
  stdout: string;
  stderr: string;
}

/** Ends a command's output; no command prints it. */
const END = "--- end of a command ---";

export class ShellSession implements AsyncDisposable {
  readonly #bash: ChildProcessWithoutNullStreams;
  #stdout = "";
  #stderr = "";
  #ended = false;
  #wake: () => void = () => undefined;

  constructor(cwd: string, env: NodeJS.ProcessEnv) {
    this.#bash = spawn("bash", ["--norc"], { cwd, env, stdio: "pipe" });
    this.#bash.stdout.on("data", (chunk: Buffer) => {
      this.#stdout += chunk.toString();
      this.#wake();
    });
    this.#bash.stderr.on("data", (chunk: Buffer) => {
      this.#stderr += chunk.toString();
      this.#wake();
    });
    this.#bash.on("close", () => {
      this.#ended = true;
      this.#wake();
    });
  }

  /** Runs what a person would type; `input` is the standard input of it. */
  async run(command: string, input = ""): Promise<Told> {
    [this.#stdout, this.#stderr] = ["", ""];
    const quoted = `'${input.replaceAll("'", `'\\''`)}'`;
    this.#bash.stdin.write(`{ ${command}\n} < <(printf %s ${quoted}); echo "${END}$?"; echo "${END}" >&2\n`);
    for (;;) {
      const [stdout, code] = this.#stdout.split(END);
      const [stderr = "", ended] = this.#stderr.split(END);
      if (stdout !== undefined && code?.endsWith("\n") === true && ended !== undefined)
        return { code: Number(code), stdout, stderr };
      if (this.#ended) throw new Error(`the shell ended: ${this.#stdout}${this.#stderr}`);
      await new Promise<void>((resolve) => (this.#wake = resolve));
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#bash.stdin.end();
    if (!this.#ended) await once(this.#bash, "close");
  }
}
