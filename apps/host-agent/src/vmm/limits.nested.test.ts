/**
 * What a VM may take of its host, where cgroup v2 has all controllers: in the testbed (`./wrenn test --only nested`). A
 * program stands in the VMM's place: that it is QEMU changes nothing for the kernel.
 */
import { chown, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { leakGate } from "../../../../tests/leaks/gate.ts";
import { SHIM_PATH } from "../binaries.ts";
import { readExitRecord, ShimProcess, type ShimSpec } from "./shim.ts";
import { reasonOf } from "./vm-exit.ts";

const MIB = 1024 * 1024;
const UID = 2_000_001;
const CGROUP = "wrenn/limits";
/** On a file system of a disk of its own in the testbed. */
const PARENT = "/var/lib/wrenn";

let directory: string;
leakGate();
beforeEach(async () => {
  await mkdir(PARENT, { recursive: true });
  directory = await mkdtemp(`${PARENT}/limits-`);
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

const signal = (): AbortSignal => AbortSignal.timeout(60_000);

/** Starts a shell script under the limits of a small VM. */
async function start(script: string): Promise<ShimProcess> {
  const own = join(directory, "vm");
  await mkdir(own);
  await chown(own, UID, UID);
  const spec: ShimSpec = {
    name: "limits",
    argv: ["/usr/bin/sh", "-c", script],
    env: { PATH: "/usr/bin" },
    uid: UID,
    gid: UID,
    directory: own,
    mounts: [],
    devices: [],
    cgroup: CGROUP,
    memory_max_bytes: 64 * MIB,
    pids_max: 32,
    cpu_max: "50000 100000",
    io_max_bytes_per_second: 8 * MIB,
  };
  return await ShimProcess.start(SHIM_PATH, spec, directory, signal());
}

const limit = async (file: string): Promise<string> =>
  (await readFile(join("/sys/fs/cgroup", CGROUP, file), "utf8")).trim();

/** Takes memory without end as soon as it is told to. */
const EATER = "while [ ! -e go ]; do sleep 0.1; done; tail /dev/zero";
const OUT_OF_MEMORY = "the VM was killed: the host ran out of memory for it";

describe("a VM", () => {
  it("has limits of memory, processors, processes and disk", async () => {
    const vm = await start("sleep 1000");
    expect(await limit("memory.max")).toBe(String(64 * MIB));
    expect(await limit("memory.oom.group")).toBe("1");
    expect(await limit("cpu.max")).toBe("50000 100000");
    expect(await limit("pids.max")).toBe("32");
    expect(await limit("io.max")).toMatch(/^\d+:\d+ rbps=8388608 wbps=8388608 /);
    await vm.stop();
  });

  it("that takes more memory than it may is told as that", async () => {
    const vm = await start(EATER);
    await writeFile(join(directory, "vm/go"), "");
    expect(reasonOf(await vm.exited)).toBe(OUT_OF_MEMORY);
  });

  it("is told as that by an agent that adopted it, and by one that came after its end", async () => {
    (await start(EATER)).detach(); // its agent is gone
    const adopted = await ShimProcess.attach(directory, signal());
    await writeFile(join(directory, "vm/go"), "");
    expect(reasonOf((await adopted?.exited) ?? { kind: "lost" })).toBe(OUT_OF_MEMORY);
    expect(await ShimProcess.attach(directory, signal())).toBeUndefined();
    expect(reasonOf(await readExitRecord(directory))).toBe(OUT_OF_MEMORY);
  });

  it("that forks without end stays within its processes", async () => {
    const vm = await start("for n in $(seq 100); do sleep 1000 & done; sleep 1000");
    await expect.poll(async () => Number(await limit("pids.current")), { timeout: 20_000 }).toBe(32);
    await vm.stop();
  });
});
