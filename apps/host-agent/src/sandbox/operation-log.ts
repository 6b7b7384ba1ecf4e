/**
 * What was done to each sandbox and how long its parts took: one line of JSON per operation in
 * `sandboxes/<id>/operations.jsonl`, the newest last. The file goes with its sandbox; the agent's log
 * keeps the same records.
 */
import { appendFile, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { writeFileAtomic } from "@wrenn/effects";
import { KeyedMutex } from "./keyed-mutex.ts";
import type { Stage } from "./stages.ts";

/** From this size on the older half is dropped. */
const MAX_BYTES = 64 * 1024;

export interface Operation {
  operation: string;
  incarnation: number;
  /** ISO 8601. */
  startedAt: string;
  durationMs: number;
  stages: readonly Stage[];
  /** Why it failed; absent when it did not. */
  error?: { code: string; message: string };
}

export class OperationLog {
  readonly #mutex = new KeyedMutex();

  /** @param directory the sandbox's; nothing is written when it is gone */
  async append(directory: string, operation: Operation): Promise<void> {
    const path = pathOf(directory);
    await this.#mutex.run(path, undefined, async () => {
      try {
        await stat(join(directory, "record.json"));
        await appendFile(path, `${JSON.stringify(operation)}\n`, { mode: 0o600 });
        if ((await stat(path)).size > MAX_BYTES) await dropOlderHalf(path);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
      }
    });
  }

  /** Oldest first, with what is being appended now. */
  async read(directory: string): Promise<Operation[]> {
    const path = pathOf(directory);
    const text = await this.#mutex.run(path, undefined, () => readFile(path, "utf8").catch(() => ""));
    return text.split("\n").flatMap((line) => parse(line));
  }
}

const pathOf = (directory: string): string => join(directory, "operations.jsonl");

async function dropOlderHalf(path: string): Promise<void> {
  const lines = (await readFile(path, "utf8")).trimEnd().split("\n");
  const kept = lines.slice(Math.ceil(lines.length / 2));
  await writeFileAtomic(path, `${kept.join("\n")}\n`, { name: "operations", durable: false });
}

/** Nothing for a line that a crash cut short. */
function parse(line: string): Operation[] {
  try {
    return [JSON.parse(line) as Operation];
  } catch {
    return [];
  }
}
