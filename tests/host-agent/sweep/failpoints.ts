/** The failpoints of a running agent: armed and disarmed without starting it anew, and those it passed. */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "@wrenn/effects";

export class Failpoints {
  readonly #armed: string;
  readonly #trace: string;

  private constructor(directory: string) {
    this.#armed = join(directory, "failpoints");
    this.#trace = join(directory, "failpoint-trace");
  }

  /** @param directory where the two files are kept */
  static async make(directory: string): Promise<Failpoints> {
    const failpoints = new Failpoints(directory);
    await failpoints.arm("");
    return failpoints;
  }

  /** What an agent is started with to listen to this. */
  get env(): NodeJS.ProcessEnv {
    return { WRENN_FAILPOINTS: `@${this.#armed}`, WRENN_FAILPOINT_TRACE: this.#trace };
  }

  /** From now on `list` holds, and passes are counted anew. Nothing is armed by an empty one. */
  async arm(list: string): Promise<void> {
    await writeFile(this.#trace, "");
    await writeFileAtomic(this.#armed, list, { durable: false });
  }

  /** The names passed since the last call of `arm`, in their order. */
  async passed(): Promise<string[]> {
    return (await readFile(this.#trace, "utf8")).split("\n").filter(Boolean);
  }
}
