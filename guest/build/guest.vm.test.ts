import { rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { leakGate } from "../../tests/leaks/gate.ts";
import { bootOnConsole, type BootedGuest } from "../testing/console.ts";
import { borrowSteps, recordProgress, SHARED_DIRECTORY, sharedGuest } from "../testing/test-guest.ts";
import { ensureGuest } from "./ensure-guest.ts";
import { readGuestManifest } from "./manifest.ts";

leakGate();

beforeAll(async () => {
  await sharedGuest();
});

describe("the built guest", () => {
  it.each(["base", "minimal"])("boots template %s to envd", async (template) => {
    const guest = await bootOnConsole(await readGuestManifest(SHARED_DIRECTORY), template);
    try {
      expect(await guest.line(/^envd: /)).toMatch(/listening/);
    } finally {
      await guest.stop();
    }
  });
});

describe("wrenn-init", () => {
  let stateDirectory: string;
  let guest: BootedGuest;
  let told: Record<string, string>;

  beforeAll(async () => {
    stateDirectory = await borrowSteps(["kernel", "initramfs", "tree-base", "tree-minimal"]);
    const manifest = await ensureGuest({
      stateDirectory,
      envdPath: join(import.meta.dirname, "../testing/probe-envd"),
      progress: recordProgress(),
      signal: new AbortController().signal,
    });
    guest = await bootOnConsole(manifest, "base", ["wrenn_mtu=1400"]);
    await guest.line(/^PROBE end: /);
    told = {};
    for (const line of guest.lines) {
      const [, key, value] = /^PROBE ([^:]*): ?(.*)$/.exec(line) ?? [];
      if (key !== undefined) told[key] = value ?? "";
    }
  });

  afterAll(async () => {
    await guest?.stop();
    await rm(stateDirectory, { recursive: true });
  });

  it("mounts what a Linux system has, and no more", () => {
    const mounts = Object.entries(told).filter(([key]) => key.startsWith("mount "));
    expect(Object.fromEntries(mounts.map(([key, value]) => [key.slice("mount ".length), value.split(" ")[0]]))).toEqual(
      {
        "/": "ext4",
        "/dev": "devtmpfs",
        "/dev/pts": "devpts",
        "/dev/shm": "tmpfs",
        "/proc": "proc",
        "/run": "tmpfs",
        "/sys": "sysfs",
        "/sys/fs/cgroup": "cgroup2",
      },
    );
    expect(told["mount /"]).toMatch(/\brw\b.*\bnoatime\b/);
    expect(told["mount /dev/pts"]).toMatch(/gid=5,mode=620,ptmxmode=666/);
    expect(told["tmp"]).toBe("1777 1777");
    expect(told["links"]).toBe("/proc/self/fd /proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2");
  });

  it("hands cgroup controllers to subgroups", () => {
    for (const controller of ["cpu", "memory", "pids", "io"]) {
      expect(told["controllers"]).toContain(controller);
      expect(told["subgroup"]).toContain(controller);
    }
  });

  it("sets the network up", () => {
    expect(told["address"]).toContain("inet 169.254.0.21/30");
    expect(told["route"]).toContain("default via 169.254.0.22 dev eth0");
    expect(told["loopback"]).toContain("inet 127.0.0.1/8");
    expect(told["resolver"]).toBe("nameserver 169.254.0.22");
    expect(told["mtu"]).toBe("1400");
    expect(told["hostname"]).toBe("sandbox");
  });

  it("starts the agent as root under tini, with a plain environment", () => {
    expect(told["parent"]).toBe("tini");
    expect(told["uid"]).toBe("0");
    expect(told["environment"]).toBe(
      "HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin LANG=C.UTF-8 umask=0022",
    );
    expect(told["descriptors"]).toBe("0 1 2");
    expect(told["files"]).toBe("65536 1048576");
    expect(told["clocksource"]).toMatch(/^tsc/);
  });

  it("reaps orphans", () => {
    expect(told["orphans"]).toBe("20");
    expect(told["zombies"]).toBe("0");
  });

  it("gives the disk of 8 GiB, with nothing left to initialise", () => {
    expect(Number(told["disk"]?.split(" ")[1])).toBeGreaterThan(7.5 * 1024 ** 2);
    expect(told["lazyinit"]).toBe("0");
  });

  it("ends the VM when the agent ends", async () => {
    await guest.ended();
    expect(guest.lines.join("\n")).toContain("Attempted to kill init! exitcode=0x00000300");
  });

  it("has in template base what commands need", () => {
    expect(told).toMatchObject({
      user: "user /home/user / 0022 /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
      home: "user:user 755",
      sudo: "root",
      "sudo keeps to itself": "[]",
      "sudo after a rename": "root",
      python: "True",
      python3: "1267650600228229401496703205376",
      git: "m",
      "git daemon": "m",
      tput: "256",
      tools: "",
      locale: "UTF-8",
      xattr: "b'v'",
      "mcp-gateway": "none",
    });
    expect(told["curl"]).toContain("curl");
  });
});
