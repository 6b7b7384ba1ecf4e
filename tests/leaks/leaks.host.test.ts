import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmdirSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { expectNoLeak, LeakError, takeInventory, type Inventory, type Kind } from "./index.ts";

let directory = "";
let rows: string[] = [];
let before: Inventory;

beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "wrenn-leaks-"));
  rows = ["sandboxes sb1 running"];
  before = await takeInventory({ directories: [directory], rows: async () => rows, ignore: isSomebodyElses });
});

afterEach(() => rmSync(directory, { recursive: true, force: true }));

describe("expectNoLeak()", () => {
  it("passes when nothing was made", async () => {
    await expect(expectNoLeak(before)).resolves.toBeUndefined();
  });

  it("waits for what is still going away", async () => {
    writeFileSync(join(directory, "late"), "");
    setTimeout(() => rmSync(join(directory, "late")), 200);
    await expect(expectNoLeak(before)).resolves.toBeUndefined();
  });

  it("lets a running platform have its ready slots, and no others", async () => {
    const stateDirectory = mkdtempSync(join(tmpdir(), "wrenn-leaks-state-"));
    mkdirSync(join(stateDirectory, "slots"));
    const options = {
      stateDirectory,
      directories: [stateDirectory],
      ignore: (_kind: Kind, item: string) => !item.startsWith(stateDirectory),
    };
    const start = await takeInventory(options);
    writeFileSync(join(stateDirectory, "slots", "7.json"), '{"index":7,"owner":null}');
    await expect(expectNoLeak(start, 0)).resolves.toBeUndefined();
    writeFileSync(join(stateDirectory, "slots", "77.json"), '{"index":77,"owner":"sb1"}');
    await expect(expectNoLeak(start, 0)).rejects.toThrow(`1 leaked:\n  file: ${stateDirectory}/slots/77.json`);
    rmSync(stateDirectory, { recursive: true });
  });

  it("names every leak in one message", async () => {
    rows.push("sandboxes sb2 creating");
    writeFileSync(join(directory, "one"), "");
    const error = await leaksOf();
    expect(error.message).toBe(`2 leaked:\n  file: ${directory}/one\n  database row: sandboxes sb2 creating`);
  });

  it("finds a child process", async () => {
    const child = spawn("sleep", ["3600"]);
    expect((await leaksOf()).leaks).toContainEqual({ kind: "process", item: `${child.pid} sleep 3600` });
    child.kill();
    await once(child, "exit");
    await expectNoLeak(before);
  });

  it("finds a program of ours that is nobody's child any more", async () => {
    const script = `exec -a wrenn-shim sleep 3600 >/dev/null 2>&1 & echo $!`;
    const pid = Number(execFileSync("setsid", ["bash", "-c", script], { encoding: "utf8" }));
    expect((await leaksOf()).leaks).toContainEqual({ kind: "process", item: `${pid} wrenn-shim 3600` });
    process.kill(pid, "SIGKILL");
    await expectNoLeak(before);
  });

  it.each<[Kind, string, string[], string[]]>([
    ["network namespace", "wleak", ["netns", "add", "wleak"], ["netns", "del", "wleak"]],
    [
      "network interface",
      "wleak0",
      ["link", "add", "wleak0", "type", "veth", "peer", "name", "wleak1"],
      ["link", "del", "wleak0"],
    ],
    [
      "network interface",
      "wleak0 (TAP of user 4242)",
      ["tuntap", "add", "dev", "wleak0", "mode", "tap", "user", "4242"],
      ["link", "del", "wleak0"],
    ],
  ])("finds a %s: %s", async (kind, item, make, remove) => {
    execFileSync("ip", make);
    expect((await leaksOf()).leaks).toContainEqual({ kind, item });
    execFileSync("ip", remove);
    await expectNoLeak(before);
  });

  it("finds an nft table, its chain, its set, an element and a rule", async () => {
    const rules = `table inet wleak {
      set s { type ipv4_addr; elements = { 203.0.113.9 } }
      chain c { ip saddr @s counter drop; }
    }`;
    execFileSync("nft", ["-f", "-"], { input: rules });
    const items = (await leaksOf()).leaks.map(({ item }) => item);
    expect(items).toEqual([
      "table inet wleak",
      "table inet wleak > set s",
      "table inet wleak > set s > type ipv4_addr",
      "table inet wleak > set s > elements = { 203.0.113.9 }",
      "table inet wleak > chain c",
      "table inet wleak > chain c > ip saddr @s counter drop",
    ]);
    execFileSync("nft", ["delete", "table", "inet", "wleak"]);
    await expectNoLeak(before);
  });

  it("finds a switched-on forwarding", async () => {
    const setting = "/proc/sys/net/ipv4/conf/lo/forwarding";
    const value = readFileSync(setting, "utf8").trim();
    writeFileSync(setting, value === "0" ? "1" : "0");
    try {
      expect((await leaksOf()).leaks).toContainEqual({
        kind: "network setting",
        item: `net/ipv4/conf/lo/forwarding = ${value === "0" ? "1" : "0"}`,
      });
    } finally {
      writeFileSync(setting, value);
    }
    await expectNoLeak(before);
  });

  it("finds a mount", async () => {
    const place = mkdtempSync(join(tmpdir(), "wrenn-leaks-mount-"));
    execFileSync("mount", ["-t", "tmpfs", "wleak", place]);
    expect((await leaksOf()).leaks).toContainEqual({ kind: "mount", item: `${place} (tmpfs of wleak)` });
    execFileSync("umount", [place]);
    rmdirSync(place);
    await expectNoLeak(before);
  });

  it.runIf(existsSync("/dev/loop-control"))("finds a loop device", async () => {
    const file = join(tmpdir(), `wrenn-leaks-${process.pid}.img`);
    writeFileSync(file, "");
    truncateSync(file, 1024 * 1024);
    const device = execFileSync("losetup", ["--find", "--show", file], { encoding: "utf8" }).trim();
    expect((await leaksOf()).leaks).toContainEqual({ kind: "loop device", item: `${device} (${file})` });
    execFileSync("losetup", ["-d", device]);
    rmSync(file);
    await expectNoLeak(before);
  });

  it.runIf(existsSync("/dev/mapper/control"))("finds a device-mapper device", async () => {
    execFileSync("dmsetup", ["create", "wleak", "--table", "0 8 zero"]);
    expect((await leaksOf()).leaks).toContainEqual({ kind: "device-mapper device", item: "wleak" });
    execFileSync("dmsetup", ["remove", "wleak"]);
    await expectNoLeak(before);
  });

  it("finds a socket and a directory", async () => {
    const server = createServer().listen(join(directory, "a.sock"));
    await once(server, "listening");
    mkdirSync(join(directory, "d"));
    const items = (await leaksOf()).leaks.map(({ item }) => item);
    expect(items.toSorted()).toEqual([`${directory}/a.sock (socket)`, `${directory}/d/`]);
    server.close();
    rmdirSync(join(directory, "d"));
    await expectNoLeak(before);
  });

  it("finds a cgroup, and the process in it", async () => {
    const cgroup = join(cgroupMount(), `wrenn-leak-${process.pid}`);
    mkdirSync(cgroup);
    const pid = Number(
      execFileSync("setsid", ["bash", "-c", "sleep 3600 >/dev/null 2>&1 & echo $!"], { encoding: "utf8" }),
    );
    writeFileSync(join(cgroup, "cgroup.procs"), String(pid));
    const items = (await leaksOf()).leaks.map(({ item }) => item);
    expect(items).toEqual([`${pid} sleep 3600`, cgroup]);
    process.kill(pid, "SIGKILL");
    await expect.poll(() => readFileSync(join(cgroup, "cgroup.procs"), "utf8")).toBe("");
    rmdirSync(cgroup);
    await expectNoLeak(before);
  });
});

/** The leaks that the gate reports without waiting. */
async function leaksOf(): Promise<LeakError> {
  const error = await expectNoLeak(before, 0).catch((thrown: unknown) => thrown);
  if (!(error instanceof LeakError)) throw new Error("the gate let a leak pass", { cause: error });
  return error;
}

function cgroupMount(): string {
  const line = readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .find((text) => text.includes(" - cgroup2 "));
  return line?.split(" ")[4] ?? "/sys/fs/cgroup";
}

/** These tests look at what they make themselves, whatever else goes on on the machine. */
function isSomebodyElses(_kind: Kind, item: string): boolean {
  return !/wleak|wrenn-leak|sleep 3600|wrenn-shim 3600|conf\/lo\/|sandboxes sb/.test(item);
}
