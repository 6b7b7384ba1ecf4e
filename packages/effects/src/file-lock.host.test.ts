import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { tryLock, waitForLock } from "./file-lock.ts";

let directory: string;
let path: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-lock-"));
  path = join(directory, "lock");
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

const never = (): AbortSignal => new AbortController().signal;

describe("tryLock()", () => {
  it("takes a free lock, refuses a taken one, takes it again after its release", async () => {
    const lock = await tryLock(path);
    expect(lock).toBeDefined();
    expect(await tryLock(path)).toBeUndefined();
    await lock?.release();
    const again = await tryLock(path);
    expect(again).toBeDefined();
    await again?.release();
  });

  it("is not held by a child that was started meanwhile", async () => {
    const lock = await tryLock(path);
    const child = spawn("sleep", ["60"], { stdio: "ignore" });
    await lock?.release();
    const again = await tryLock(path);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(again).toBeDefined();
    await again?.release();
  });
});

describe("waitForLock()", () => {
  it("gets the lock when its holder is killed", async () => {
    const script = `import { tryLock } from ${JSON.stringify(new URL("./file-lock.ts", import.meta.url).pathname)};
      await tryLock(process.argv[1]); console.log("held"); setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ["--input-type=module", "-e", script, path], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(holder.stdout, "data");
    expect(await tryLock(path)).toBeUndefined();
    const waiting = waitForLock(path, never());
    holder.kill("SIGKILL");
    await (await waiting).release();
  });

  it("stops waiting when it is told to", async () => {
    const lock = await tryLock(path);
    await expect(waitForLock(path, AbortSignal.timeout(100))).rejects.toMatchObject({ name: "WrennError" });
    await lock?.release();
    expect(await tryLock(path).then(async (free) => await free?.release().then(() => true))).toBe(true);
  });
});
