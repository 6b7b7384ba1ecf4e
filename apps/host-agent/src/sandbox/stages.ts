/** The timed parts of one operation, logged as one record and returned to the caller. */
export interface Stage {
  name: string;
  durationMs: number;
  bytes: number;
  /** Pages by what became of them or where they came from, when the stage moved any. */
  pages?: Readonly<Record<string, number>>;
}

export class Stages {
  readonly list: Stage[] = [];

  /** Times `work` as one stage, also when it fails. */
  async time<T>(
    name: string,
    work: () => Promise<T>,
    bytesOf: (result: T) => number = () => 0,
    pagesOf: (result: T) => Stage["pages"] = () => undefined,
  ): Promise<T> {
    const startedAt = performance.now();
    let bytes = 0;
    let pages: Stage["pages"];
    try {
      const result = await work();
      bytes = bytesOf(result);
      pages = pagesOf(result);
      return result;
    } finally {
      const durationMs = Math.round((performance.now() - startedAt) * 100) / 100;
      this.list.push({ name, durationMs, bytes, ...(pages === undefined ? {} : { pages }) });
    }
  }
}
