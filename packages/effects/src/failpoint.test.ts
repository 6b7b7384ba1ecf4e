import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";

let directory: string;
let file: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-failpoint-"));
  file = join(directory, "armed");
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(directory, { recursive: true });
});

/** The module as a process with this environment has it. */
async function load(env: Record<string, string>): Promise<(name: string) => void> {
  for (const [name, value] of Object.entries(env)) vi.stubEnv(name, value);
  vi.resetModules();
  return (await import("./failpoint.ts")).failpoint;
}

describe("failpoint()", () => {
  it("fails the pass that it was armed for, with the error it was told", async () => {
    const failpoint = await load({ WRENN_FAILPOINTS: "a=error:ENOSPC@2,b=error" });
    failpoint("a");
    expect(() => failpoint("a")).toThrow(expect.objectContaining({ code: "ENOSPC" }));
    failpoint("a");
    expect(() => failpoint("b")).toThrow(expect.objectContaining({ code: "EIO" }));
    failpoint("c");
  });

  it("follows a file while it runs, counts passes from its change on, and tells what was passed", async () => {
    await writeFile(file, "");
    const trace = join(directory, "trace");
    const failpoint = await load({ WRENN_FAILPOINTS: `@${file}`, WRENN_FAILPOINT_TRACE: trace });
    failpoint("a");
    await writeFile(file, "a=error@2\n");
    failpoint("a");
    expect(() => failpoint("a")).toThrow("EIO: failpoint a");
    await writeFile(file, "");
    failpoint("b");
    expect(await readFile(trace, "utf8")).toBe("a\na\na\nb\n");
  });

  it("refuses what it does not understand", async () => {
    await expect(load({ WRENN_FAILPOINTS: "a=explode" })).rejects.toThrow("Cannot arm failpoint a=explode");
  });
});
