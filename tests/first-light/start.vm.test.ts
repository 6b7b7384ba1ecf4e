/** Starts that go wrong: each says what, why and what to do, leaves nothing, and a repeat works. */
import { spawn, execFileSync } from "node:child_process";
import { chmod, mkdir, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import { leakGate } from "../leaks/gate.ts";
import { linkSharedGuest } from "./link-shared-guest.ts";
import { finished, preparePlatform, REPOSITORY_WRENN } from "./platform.ts";

type Prepared = Awaited<ReturnType<typeof preparePlatform>>;
let platform: Prepared;

leakGate();

beforeAll(async () => {
  platform = await preparePlatform();
});
afterAll(async () => {
  await rm(platform.directory, { recursive: true, force: true });
});

afterEach(async () => {
  await platform.wrenn(["down", "--destroy"]);
});

describe("wrenn up", () => {
  it("says who can help when the port is taken, and works when it is free again", async () => {
    const server = createServer();
    server.listen(platform.port, "127.0.0.1");
    await once(server, "listening");
    const taken = await platform.wrenn(["up", "--detach"]);
    expect(taken.code).not.toBe(0);
    expect(taken.stderr).toMatch(new RegExp(`${platform.port}`));
    expect(taken.stderr).toMatch(/hint: .*WRENN_PORT/);
    server.close();
    await once(server, "close");
    const free = await platform.wrenn(["up", "--detach"]);
    expect({ code: free.code, stderr: free.stderr }).toMatchObject({ code: 0 });
  });

  it("is harmless when it runs already, and two at once start one platform", async () => {
    const results = await Promise.all([platform.wrenn(["up", "--detach"]), platform.wrenn(["up", "--detach"])]);
    expect(results.map(({ code }) => code)).toEqual([0, 0]);
    const before = JSON.parse((await platform.wrenn(["status", "--json"])).stdout.toString());
    expect((await platform.wrenn(["up", "--detach"])).code).toBe(0);
    const after = JSON.parse((await platform.wrenn(["status", "--json"])).stdout.toString());
    const pids = (status: { processes: { pid: number }[] }): number[] => status.processes.map(({ pid }) => pid);
    expect(pids(after)).toEqual(pids(before));
  });
});

describe("wrenn run", () => {
  it("needs root and says so", async () => {
    const argv = ["--reuid", "65534", "--regid", "65534", "--clear-groups", REPOSITORY_WRENN, "run", "--", "true"];
    const { code, stderr } = await finished(spawn("setpriv", argv, { env: platform.env, stdio: "pipe" }));
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/root/);
  });

  it("explains a machine without /dev/net/tun", async () => {
    const script = `mount -t tmpfs tmpfs /dev/net && exec "$0" run -- true`;
    const argv = ["-m", "sh", "-c", script, REPOSITORY_WRENN];
    const { code, stderr } = await finished(spawn("unshare", argv, { env: platform.env, stdio: "pipe" }));
    expect(code).not.toBe(0);
    expect(stderr).toMatch(/tun/);
  });

  it("explains a full disk, leaves nothing half-made, and works with room", async () => {
    const directory = join(platform.directory, "small");
    await mkdir(directory);
    execFileSync("mount", ["-t", "tmpfs", "-o", "size=24m,mode=711", "tmpfs", directory]);
    try {
      await chmod(platform.directory, 0o711);
      await linkSharedGuest(directory);
      const env = { WRENN_DIR: directory };
      const full = await platform.wrenn(["run", "--", "true"], { env });
      expect(full.code).not.toBe(0);
      expect(full.stderr).toMatch(/space|room|disk/i);
      execFileSync("mount", ["-o", "remount,size=2g", directory]);
      const roomy = await platform.wrenn(["run", "--", "echo", "works"], { env });
      expect({ code: roomy.code, stdout: roomy.stdout.toString(), stderr: roomy.stderr }).toMatchObject({
        code: 0,
        stdout: "works\n",
      });
      await platform.wrenn(["down", "--destroy"], { env });
    } finally {
      // The platform's last process lets go of its working directory a moment behind `down`.
      await vi.waitFor(() => execFileSync("umount", [directory], { stdio: "pipe" }), { timeout: 5_000, interval: 100 });
    }
  });

  it.each([100, 400, 900, 1500, 2200, 3000, 4000])(
    "ends on Ctrl-C after %d ms of a first run, and a repeat works",
    async (afterMs) => {
      const child = platform.start(["run", "--", "sleep", "60"]);
      const ended = finished(child);
      await setTimeout(afterMs);
      child.kill("SIGINT");
      const { code } = await ended;
      expect(code).not.toBe(0);
      const repeat = await platform.wrenn(["run", "--", "echo", "works"]);
      expect({ code: repeat.code, stdout: repeat.stdout.toString() }).toEqual({ code: 0, stdout: "works\n" });
      const sandboxes = JSON.parse((await platform.wrenn(["sandbox", "list", "--json"])).stdout.toString());
      expect(sandboxes).toEqual([]);
    },
  );
});
