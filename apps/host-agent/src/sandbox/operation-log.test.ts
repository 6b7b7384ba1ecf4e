import { appendFile, mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { OperationLog, type Operation } from "./operation-log.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp("/tmp/wrenn-operations-");
  await writeFile(join(directory, "record.json"), "{}");
});
afterEach(async () => {
  await rm(directory, { recursive: true, force: true });
});

const operation = (incarnation: number): Operation => ({
  operation: "pause",
  incarnation,
  startedAt: new Date(0).toISOString(),
  durationMs: 1.5,
  stages: [{ name: "freeze", startMs: 0, durationMs: 1.5, bytes: 0 }],
});

describe("OperationLog", () => {
  it("keeps the newest operations within its bound, in order", async () => {
    const log = new OperationLog();
    await Promise.all(Array.from({ length: 800 }, (_, n) => log.append(directory, operation(n))));
    const kept = await log.read(directory);
    expect(kept.at(-1)).toEqual(operation(799));
    expect(kept.map(({ incarnation }) => incarnation)).toEqual(kept.map((_, n) => 800 - kept.length + n));
    expect((await stat(join(directory, "operations.jsonl"))).size).toBeLessThan(70 * 1024);
  });

  it("reads past a line that a crash cut short", async () => {
    const log = new OperationLog();
    await log.append(directory, operation(1));
    await appendFile(join(directory, "operations.jsonl"), '{"operation":"pau');
    expect(await log.read(directory)).toEqual([operation(1)]);
  });

  it("writes nothing for a sandbox that is gone", async () => {
    await rm(directory, { recursive: true });
    await new OperationLog().append(directory, operation(1));
    await expect(stat(directory)).rejects.toMatchObject({ code: "ENOENT" });
  });
});
