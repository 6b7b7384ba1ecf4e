/** The timed parts of one operation, logged as one record and returned to the caller. */
export interface Stage {
  name: string;
  durationMs: number;
  bytes: number;
}

export class Stages {
  readonly list: Stage[] = [];

  /** Times `work` as one stage, also when it fails. */
  async time<T>(name: string, work: () => Promise<T>, bytesOf: (result: T) => number = () => 0): Promise<T> {
    const startedAt = performance.now();
    let bytes = 0;
    try {
      const result = await work();
      bytes = bytesOf(result);
      return result;
    } finally {
      this.list.push({ name, durationMs: Math.round((performance.now() - startedAt) * 100) / 100, bytes });
    }
  }
}
