import { spawn } from "node:child_process";
import { once } from "node:events";
import { describe, expect, it } from "vitest";
import { identify, isAlive } from "./process-identity.ts";

describe("identify()", () => {
  it("tells a process that runs from one that has ended", async () => {
    const child = spawn("sleep", ["60"]);
    const identity = identify(child.pid ?? 0);
    expect(identity?.pid).toBe(child.pid);
    expect(identity !== undefined && isAlive(identity)).toBe(true);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(identity !== undefined && isAlive(identity)).toBe(false);
  });

  it("takes another process with the same id for another process", () => {
    const self = identify(process.pid);
    expect(self).toBeDefined();
    expect(isAlive({ pid: process.pid, startTime: "another boot/1" })).toBe(false);
  });

  it("does not mind a name with spaces and parentheses", async () => {
    const child = spawn("bash", ["-c", 'printf "a) R (b" > /proc/self/comm; echo named; read'], {
      stdio: ["pipe", "pipe", "ignore"],
    });
    await once(child.stdout, "data");
    expect(identify(child.pid ?? 0)?.startTime).toMatch(/^[0-9a-f-]{36}\/\d+$/);
    child.stdin.end();
    await once(child, "exit");
  });
});
