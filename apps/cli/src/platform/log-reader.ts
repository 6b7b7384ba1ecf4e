/** Reads the logs of the platform's processes, merged by time, and follows them. */
import { on } from "node:events";
import { watch } from "node:fs";
import { open, readdir, type FileHandle } from "node:fs/promises";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { WrennError } from "@wrenn/errors";
import { parseLogLine, type LogRecord } from "./log-record.ts";

export interface NamedRecord {
  name: string;
  record: LogRecord;
}

/** Names of the processes that have a log. */
export async function listLogs(directory: string): Promise<string[]> {
  try {
    return (await readdir(directory))
      .filter((file) => file.endsWith(".log"))
      .map((file) => file.slice(0, -4))
      .sort();
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT") return [];
    throw new WrennError(
      code === "EACCES" ? "needs_root" : "internal",
      `Cannot read the logs in ${directory}: ${code}`,
      {
        cause,
        hint: "Run the same command as root",
      },
    );
  }
}

/** The last `count` records of the named logs together, oldest first. */
export async function readLast(directory: string, names: readonly string[], count: number): Promise<NamedRecord[]> {
  const records: NamedRecord[] = [];
  for (const name of names) {
    const own: NamedRecord[] = [];
    for (const path of [`${name}.log.1`, `${name}.log`]) {
      const file = await openIfExists(join(directory, path));
      if (file === undefined) continue;
      for await (const line of createInterface({ input: file.createReadStream() })) {
        own.push({ name, record: parseLogLine(line) });
        if (own.length > count * 2) own.splice(0, own.length - count);
      }
    }
    records.push(...own.slice(-count));
  }
  return records.toSorted((a, b) => a.record.time - b.record.time).slice(-count);
}

/** Every record that is written from now on, until `signal`. */
export async function* follow(
  directory: string,
  names: readonly string[],
  signal: AbortSignal,
): AsyncGenerator<NamedRecord> {
  const tails = names.map((name) => new Tail(name, join(directory, `${name}.log`)));
  const watcher = watch(directory);
  try {
    const changes = on(watcher, "change", { signal }); // from here on, so that nothing is missed behind the skip
    for (const tail of tails) await tail.skip();
    for await (const [, filename] of changes) {
      for (const tail of tails) if (filename === `${tail.name}.log`) yield* tail.read();
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    watcher.close();
    for (const tail of tails) await tail.close();
  }
}

/** One log that is followed, across its being turned over. */
class Tail {
  readonly name: string;
  readonly #path: string;
  #file: FileHandle | undefined;
  #offset = 0;
  #rest = "";

  constructor(name: string, path: string) {
    this.name = name;
    this.#path = path;
  }

  async skip(): Promise<void> {
    this.#file = await openIfExists(this.#path);
    this.#offset = (await this.#file?.stat())?.size ?? 0;
  }

  async *read(): AsyncGenerator<NamedRecord> {
    yield* this.#readOpened();
    const current = await openIfExists(this.#path);
    if (current === undefined) return;
    if (this.#file !== undefined && (await sameFile(this.#file, current))) return await current.close();
    await this.#file?.close();
    this.#file = current;
    this.#offset = 0;
    yield* this.#readOpened();
  }

  async close(): Promise<void> {
    await this.#file?.close();
  }

  async *#readOpened(): AsyncGenerator<NamedRecord> {
    if (this.#file === undefined) return;
    const buffer = Buffer.alloc(64 * 1024);
    for (;;) {
      const { bytesRead } = await this.#file.read(buffer, 0, buffer.length, this.#offset);
      if (bytesRead === 0) return;
      this.#offset += bytesRead;
      const lines = (this.#rest + buffer.toString("utf8", 0, bytesRead)).split("\n");
      this.#rest = lines.pop() ?? "";
      for (const line of lines) yield { name: this.name, record: parseLogLine(line) };
    }
  }
}

async function openIfExists(path: string): Promise<FileHandle | undefined> {
  try {
    return await open(path, "r");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

async function sameFile(a: FileHandle, b: FileHandle): Promise<boolean> {
  const [first, second] = [await a.stat(), await b.stat()];
  return first.ino === second.ino && first.dev === second.dev;
}
