/** The timed parts of one operation, logged as one record and returned to the caller. */
export interface Stage {
  name: string;
  /** From the operation's start to this stage's; stages may overlap. */
  startMs: number;
  durationMs: number;
  bytes: number;
  /** Pages by what became of them or where they came from, when the stage moved any. */
  pages?: Readonly<Record<string, number>>;
}

export class Stages {
  readonly list: Stage[] = [];
  readonly startedAt = new Date();
  readonly #startedAtMs = performance.now();

  /** Since the operation began. */
  get durationMs(): number {
    return rounded(performance.now() - this.#startedAtMs);
  }

  /** Times `work` as one stage, also when it fails. */
  async time<T>(
    name: string,
    work: () => Promise<T>,
    bytesOf: (result: T) => number = () => 0,
    pagesOf: (result: T) => Stage["pages"] = () => undefined,
  ): Promise<T> {
    const startMs = this.durationMs;
    let bytes = 0;
    let pages: Stage["pages"];
    try {
      const result = await work();
      bytes = bytesOf(result);
      pages = pagesOf(result);
      return result;
    } finally {
      const durationMs = rounded(this.durationMs - startMs);
      this.list.push({ name, startMs, durationMs, bytes, ...(pages === undefined ? {} : { pages }) });
    }
  }
}

const rounded = (ms: number): number => Math.round(ms * 100) / 100;
