/**
 * What a long run has tried already, so that it can be ended and gone on with: a line of JSON for each thing
 * that passed. `WRENN_TEST_JOURNAL` names the directory; without it nothing is kept. `WRENN_TEST_MINUTES`
 * ends a run after that time, at the next thing it would try.
 */
import { appendFileSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const directory = process.env["WRENN_TEST_JOURNAL"] ?? "";
const minutes = Number(process.env["WRENN_TEST_MINUTES"] ?? Number.POSITIVE_INFINITY);

export class Journal<T extends { what: string }> {
  readonly #path: string | undefined;
  readonly #deadline = Date.now() + minutes * 60_000;
  readonly #entries: T[];

  /** @param name of the test that it belongs to */
  constructor(name: string) {
    this.#path = directory === "" ? undefined : join(directory, `${name}.jsonl`);
    if (this.#path !== undefined) mkdirSync(directory, { recursive: true });
    this.#entries = this.#path === undefined ? [] : readEntries<T>(this.#path);
  }

  /** Everything that passed, in this run and before it. */
  get entries(): readonly T[] {
    return this.#entries;
  }

  /** What was found out once and holds for all runs. */
  async once<F>(name: string, find: () => Promise<F>): Promise<F> {
    const path = this.#path?.replace(/jsonl$/, `${name}.json`);
    if (path !== undefined && existsSync(path)) return JSON.parse(readFileSync(path, "utf8")) as F;
    const found = await find();
    if (path !== undefined) writeFileSync(path, JSON.stringify(found));
    return found;
  }

  has(what: string): boolean {
    return this.#entries.some((entry) => entry.what === what);
  }

  add(entry: T): void {
    this.#entries.push(entry);
    if (this.#path !== undefined) appendFileSync(this.#path, `${JSON.stringify(entry)}\n`);
  }

  /** True when this run should end and leave the rest to the next one. */
  get timeIsOver(): boolean {
    return Date.now() > this.#deadline;
  }
}

function readEntries<T>(path: string): T[] {
  try {
    return readFileSync(path, "utf8")
      .split("\n")
      .filter(Boolean)
      .map((line) => JSON.parse(line) as T);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
