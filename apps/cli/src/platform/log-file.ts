/**
 * A process's log: one JSON line per record, in a file that is turned over when it is full. At most
 * `KEPT_FILES + 1` files of `MAX_BYTES`. A log that cannot be written never stops what it is about.
 */
import { open, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import { rename } from "@wrenn/effects";
import type { LogRecord } from "./log-record.ts";

const MAX_BYTES = 8 * 1024 * 1024;
const KEPT_FILES = 3;
/** Records that wait for a disk which hangs; those beyond are left out, and counted. */
const MAX_WAITING = 10_000;

export class LogFile {
  readonly path: string;
  readonly #maxBytes: number;
  #handle: FileHandle | undefined;
  #size = 0;
  #waiting: string[] = [];
  #leftOut = 0;
  #writing: Promise<void> | undefined;

  constructor(directory: string, name: string, maxBytes = MAX_BYTES) {
    this.path = join(directory, `${name}.log`);
    this.#maxBytes = maxBytes;
  }

  /** Appends; resolves when it is written or given up. Writes keep their order; what waits is written at once. */
  append(record: LogRecord): Promise<void> {
    if (this.#waiting.length >= MAX_WAITING) this.#leftOut++;
    else this.#waiting.push(lineOf(record));
    this.#writing ??= this.#writeWaiting().finally(() => (this.#writing = undefined));
    return this.#writing;
  }

  async close(): Promise<void> {
    await this.#writing;
    await this.#handle?.close();
    this.#handle = undefined;
  }

  async #writeWaiting(): Promise<void> {
    while (this.#waiting.length > 0) await this.#writeBatch().catch(() => undefined);
  }

  /** As many lines as there is room for in one file, but at least one. */
  async #writeBatch(): Promise<void> {
    const lines = this.#waiting;
    this.#waiting = [];
    if (this.#leftOut > 0) {
      const msg = `${this.#leftOut} records were left out: the log could not be written as fast as they came`;
      lines.push(lineOf({ level: 40, time: Date.now(), msg }));
      this.#leftOut = 0;
    }
    if (this.#handle === undefined) {
      this.#handle = await open(this.path, "a", 0o600);
      this.#size = (await this.#handle.stat()).size;
    }
    if (this.#size > 0 && this.#size + (lines[0]?.length ?? 0) > this.#maxBytes) await this.#turnOver();
    let length = lines[0]?.length ?? 0;
    let count = 1;
    while (count < lines.length && this.#size + length + (lines[count]?.length ?? 0) <= this.#maxBytes)
      length += lines[count++]?.length ?? 0;
    this.#waiting = [...lines.slice(count), ...this.#waiting];
    const { bytesWritten } = await this.#handle.write(lines.slice(0, count).join(""));
    this.#size += bytesWritten;
  }

  async #turnOver(): Promise<void> {
    for (let index = KEPT_FILES; index > 0; index--) {
      const from = index === 1 ? this.path : `${this.path}.${index - 1}`;
      await rename(from, `${this.path}.${index}`, "log").catch((error: NodeJS.ErrnoException) => {
        if (error.code !== "ENOENT") throw error;
      });
    }
    await this.#handle?.close();
    this.#handle = await open(this.path, "a", 0o600);
    this.#size = 0;
  }
}

const lineOf = (record: LogRecord): string => `${JSON.stringify(record)}\n`;
