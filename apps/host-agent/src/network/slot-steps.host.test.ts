/** Faults at every step of making and taking down a slot, in a process of its own that may die of them. */
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { expectNoLeak, type Inventory } from "../../../../tests/leaks/index.ts";
import { FIRST_INDEX, poolOptions, PREFIX, takeNetworkInventory } from "../../../../tests/network/pool-options.ts";
import { makeUplink } from "../../../../tests/network/uplink.ts";
import { createNetworkPool } from "./pool.ts";

const UPLINK = `${PREFIX}up`;
const PROGRAM = fileURLToPath(new URL("../../../../tests/network/pool-process.ts", import.meta.url));

/** Where making a slot can fail: before each step, in each tool, and after the last step. */
const MAKING = [
  "network.record",
  "network.record.create",
  "network.record.rename",
  "network.connections",
  "network.links",
  "run.ip",
  "network.sysctls",
  "run.nsenter",
  "network.tap",
  "network.rules",
  "network.ready",
];

/** Where taking it down can fail. */
const REMOVING = [
  "network.undo.rules",
  "network.undo.tap",
  "network.undo.sysctls",
  "network.undo.links",
  "network.undo.connections",
  "run.conntrack",
  "network.undo.record",
  "network.record.remove",
];

let before: Inventory;
let removeUplink = () => {};
let stateDirectory = "";

beforeEach(async () => {
  before = await takeNetworkInventory();
  removeUplink = makeUplink(UPLINK).remove;
  stateDirectory = mkdtempSync(join(tmpdir(), "wrenn-network-"));
});

afterEach(() => {
  rmSync(stateDirectory, { recursive: true, force: true });
  removeUplink();
});

describe("making a slot", () => {
  it("works without a fault", () => {
    expect(runPool("", "release")).toMatchObject({ stdout: "acquired released closed", stderr: "" });
  });

  it.each(MAKING)("leaves nothing when %s fails", async (failpoint) => {
    const { stdout, stderr } = runPool(`${failpoint}=error:EIO`);
    expect(stderr).toContain("EIO");
    expect(stdout).toBe("closed");
    expect(records()).toEqual([]);
    removeUplink();
    await expectNoLeak(before);
    removeUplink = () => {};
  });

  it.each(MAKING)("leaves nothing that a sweep does not find when it is killed at %s", async (failpoint) => {
    const { signal } = runPool(`${failpoint}=kill`);
    expect(signal).toBe("SIGKILL");
    await sweep();
  });
});

describe("taking a slot down", () => {
  it.each(REMOVING)("goes on after %s fails, reports it, and leaves the rest to a sweep", async (failpoint) => {
    const { stdout, stderr } = runPool(`${failpoint}=error:EIO`, "release");
    expect(stdout).not.toContain("released");
    expect(stderr).toMatch(new RegExp(`Cannot take down network slot ${FIRST_INDEX}: .*EIO`));
    expect(records()).toEqual([`${FIRST_INDEX}.json`]);
    expect(existsSync(`/run/netns/wrenn-${FIRST_INDEX}`)).toBe(failpoint === "network.undo.links");
    await sweep();
  });

  it.each(REMOVING)("is finished by a sweep when it is killed at %s", async (failpoint) => {
    const { signal } = runPool(`${failpoint}=kill`, "release");
    expect(signal).toBe("SIGKILL");
    await sweep();
  });

  it("asks again when a connection ends while all are being forgotten", async () => {
    const programs = join(stateDirectory, "programs");
    mkdirSync(programs);
    const conntrack = `#!/bin/sh
if mkdir "$0.asked" 2>/dev/null; then
  echo "conntrack v1.4.7 (conntrack-tools): Operation failed: such conntrack doesn't exist" >&2
  exit 1
fi
exec /usr/sbin/conntrack "$@"
`;
    writeFileSync(join(programs, "conntrack"), conntrack, { mode: 0o755 });
    const { stdout, stderr } = runPool("", "release", { PATH: `${programs}:${process.env["PATH"]}` });
    expect({ stdout, stderr }).toEqual({ stdout: "acquired released closed", stderr: "" });
    expect(existsSync(join(programs, "conntrack.asked"))).toBe(true);
    await sweep();
  });

  it("reports every step that failed", () => {
    const { stderr } = runPool("network.undo.links=error:EIO,network.undo.connections=error:EPERM", "release");
    expect(stderr).toMatch(/EIO: failpoint network.undo.links; EPERM: failpoint network.undo.connections/);
    return sweep();
  });
});

function runPool(failpoints: string, what?: "release", env: NodeJS.ProcessEnv = {}) {
  const argv = [PROGRAM, stateDirectory, UPLINK, String(FIRST_INDEX), ...(what === undefined ? [] : [what])];
  return spawnSync(process.execPath, argv, {
    encoding: "utf8",
    env: { ...process.env, ...env, WRENN_FAILPOINTS: failpoints },
    timeout: 30_000,
  });
}

/** The next start of the platform: after its sweep nothing is left. */
async function sweep(): Promise<void> {
  const pool = await createNetworkPool(poolOptions({ stateDirectory, uplink: UPLINK }));
  await pool.sweep(new Set());
  await pool.close();
  expect(records()).toEqual([]);
  removeUplink();
  removeUplink = () => {};
  await expectNoLeak(before);
}

function records(): string[] {
  const directory = join(stateDirectory, "slots");
  return existsSync(directory) ? readdirSync(directory) : [];
}
