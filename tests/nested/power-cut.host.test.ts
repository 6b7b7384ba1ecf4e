/**
 * Device-mapper disks over power cuts: what was sealed is there, what was not hurts nobody. Ended and gone on with
 * as `tests/host-agent/journal.ts` says.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { bootAndRun } from "../../testbed/src/testing/boot.ts";
import { Journal } from "../host-agent/journal.ts";
import { bundle } from "./bundle.ts";

const DEADLINE_MS = 480_000;
const DISK_BYTES = 16 * 1024 * 1024;
const PROGRAMS = join(import.meta.dirname, "../../apps/host-agent/src/disk/device-mapper/testing");
const ARGUMENTS = `/tmp/d /tmp/base.raw ${DISK_BYTES}`;
/** Two boots each. */
const FULL = process.env["WRENN_TEST_FULL"] === "1";
/** The last comes after the disk was sealed. */
const STEPS = [
  "disk.create",
  "disk.loop",
  "disk.device",
  "seal.device",
  "seal.copy",
  "seal.disk",
  "disk.device.remove",
  "disk.remove",
];
const FILE_SYSTEMS = ["xfs", "ext4"] as const;

const journal = new Journal<{ what: string; found: string }>("power-cut");

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-power-cut-"));
});
afterAll(async () => {
  if (FULL) console.log(`power-cut: ${journal.entries.length} of ${STEPS.length * FILE_SYSTEMS.length} cuts passed`);
  await rm(directory, { recursive: true, force: true });
});

describe.runIf(FULL).each(FILE_SYSTEMS)("on %s", (fileSystem) => {
  it.for(STEPS)("a disk whose power is cut at %s", { timeout: DEADLINE_MS }, async (step, { skip }) => {
    const what = `${fileSystem} ${step}`;
    if (journal.timeIsOver || journal.has(what)) skip();
    const scratchPath = join(directory, `${fileSystem}-${step}`);
    const options = { scratchPath, fileSystem } as const;
    const [life, after] = [
      await bundle(join(PROGRAMS, "life-of-a-disk.ts")),
      await bundle(join(PROGRAMS, "after-power-cut.ts")),
    ];
    const prepare = `mkdir /tmp/d && head -c ${DISK_BYTES} /dev/zero | tr '\\0' '\\021' >/tmp/base.raw && sync`;
    const run = `WRENN_FAILPOINTS=${step}=kill ${process.execPath} ${life} ${ARGUMENTS}; sleep 1; testbed/guest/cut-power`;
    const cut = await bootAndRun(["sh", "-c", `${prepare}; ${run}`], options);
    expect(cut.end).toEqual({ kind: "powerCut" });
    const sealed = cut.stdout.includes("sealed");
    expect(sealed).toBe(step === "disk.remove");

    const found = await bootAndRun([process.execPath, after, ...ARGUMENTS.split(" ")], options);
    expect(found).toMatchObject({ end: { kind: "exit", code: 0 }, stderr: "" });
    expect(found.stdout.includes("content") || !sealed).toBe(true);
    expect(found.stdout).toContain("left 0 \n");
    await rm(scratchPath);
    journal.add({ what, found: found.stdout.trim() });
  });
});
