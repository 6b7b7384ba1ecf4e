/**
 * Who owns which slot: one file per slot, `<index>.json`, written before anything of the slot is
 * made and removed after everything of it is gone. What a crash leaves is found by these alone.
 * They are not flushed to the disk: a power cut ends the slots, too.
 */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { remove, statIfExists, writeFileAtomic } from "@wrenn/effects";

/** The record of one slot. */
export interface SlotRecord {
  index: number;
  /** The sandbox that has it; null while it is being made or waits in the pool. */
  owner: string | null;
}

/** The records of one state directory. */
export class SlotRecords {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Every record there is. A torn one counts as owned by nobody: only its name is needed to remove the slot. */
  async load(): Promise<SlotRecord[]> {
    await mkdir(this.#directory, { recursive: true, mode: 0o700 });
    const records: SlotRecord[] = [];
    for (const name of await readdir(this.#directory)) {
      const match = /^(\d+)\.json$/.exec(name);
      if (match === null) await remove(join(this.#directory, name), "network.record.remove");
      else
        records.push({ index: Number(match[1]), owner: ownerIn(await readFile(join(this.#directory, name), "utf8")) });
    }
    return records;
  }

  async write(record: SlotRecord): Promise<void> {
    await writeFileAtomic(this.#path(record.index), `${JSON.stringify(record)}\n`, {
      name: "network.record",
      durable: false,
    });
  }

  async has(index: number): Promise<boolean> {
    return (await statIfExists(this.#path(index))) !== undefined;
  }

  async remove(index: number): Promise<void> {
    await remove(this.#path(index), "network.record.remove");
  }

  #path(index: number): string {
    return join(this.#directory, `${index}.json`);
  }
}

function ownerIn(text: string): string | null {
  try {
    const { owner } = JSON.parse(text) as Partial<SlotRecord>;
    return typeof owner === "string" ? owner : null;
  } catch {
    return null;
  }
}
