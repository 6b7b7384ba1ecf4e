import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { run } from "@wrenn/effects";
import { LogFile } from "./log-file.ts";
import { follow, readLast } from "./log-reader.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-logs-"));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

const record = (number: number) => ({ level: 30, time: number, msg: `record ${number}` });

async function write(file: LogFile, from: number, to: number): Promise<void> {
  for (let number = from; number < to; number += 1) await file.append(record(number));
}

describe("LogFile", () => {
  it("is turned over when it is full and keeps three old files", async () => {
    const file = new LogFile(directory, "host-agent", 200);
    await write(file, 0, 100);
    await file.close();
    expect((await readdir(directory)).sort()).toEqual(["", ".1", ".2", ".3"].map((end) => `host-agent.log${end}`));
    for (const name of await readdir(directory)) {
      expect((await readFile(join(directory, name))).length).toBeLessThanOrEqual(200);
    }
    const last = (await readFile(file.path, "utf8")).trim().split("\n").at(-1);
    expect(JSON.parse(last ?? "")).toEqual(record(99));
  });

  it("goes on in the file that is there", async () => {
    for (const number of [1, 2]) {
      const file = new LogFile(directory, "host-agent");
      await file.append(record(number));
      await file.close();
    }
    expect((await readFile(join(directory, "host-agent.log"), "utf8")).trim().split("\n")).toHaveLength(2);
  });

  it("does not fail when it cannot be written", async () => {
    const file = new LogFile(join(directory, "missing"), "host-agent");
    await file.append(record(1));
    await file.close();
    expect(await readdir(directory)).toEqual([]);
  });

  it("holds a bounded number of records while the disk hangs, and says how many it left out", async () => {
    const path = join(directory, "host-agent.log");
    await run(["mkfifo", path]); // opened by nobody else: a write waits
    const file = new LogFile(directory, "host-agent");
    const written = [];
    for (let number = 0; number < 25_000; number++) written.push(file.append(record(number)));
    const read = readFile(path, "utf8");
    await Promise.all(written);
    await file.close();
    const lines = (await read).trim().split("\n");
    expect(lines.length).toBeLessThan(12_000);
    const leftOut = lines.flatMap((line) => /"msg":"(\d+) records were left out/.exec(line)?.[1] ?? []);
    expect(leftOut.reduce((sum, count) => sum + Number(count), 0) + lines.length - leftOut.length).toBe(25_000);
  });
});

describe("readLast()", () => {
  it("merges logs by time and keeps the last", async () => {
    const [a, b] = [new LogFile(directory, "a"), new LogFile(directory, "b")];
    await write(a, 0, 5);
    await write(b, 3, 6);
    await Promise.all([a.close(), b.close()]);
    const read = await readLast(directory, ["a", "b", "none"], 4);
    expect(read.map(({ record: { time } }) => time)).toEqual([3, 4, 4, 5]);
  });
});

describe("follow()", () => {
  it("yields what is written from now on, across a turn-over, without loss", async () => {
    const file = new LogFile(directory, "a", 400);
    await write(file, 0, 3);
    const stopping = new AbortController();
    const followed = follow(directory, ["a"], stopping.signal);
    const next = async (): Promise<number | undefined> => (await followed.next()).value?.record.time;
    const first = next();
    const isFollowed = first.then(() => true);
    let number = 3;
    do await file.append(record(number++));
    while (!(await Promise.race([isFollowed, delay(10, false)])));
    let last = (await first) ?? 0;
    while (last < number - 1) expect(await next()).toBe(++last);
    for (; number < 40; number++) {
      await file.append(record(number));
      expect(await next()).toBe(number);
    }
    stopping.abort();
    expect(await next()).toBeUndefined();
    await file.close();
  });
});
