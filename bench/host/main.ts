/**
 * What the host agent adds to the work itself: every figure beside a floor in the same run, the two taking turns.
 * `node bench/host/main.ts [runs]`, as root; prints a table for docs/benchmarks.md. Definitions: bench/host/README.md.
 */
import { mkdtemp, open, readFile } from "node:fs/promises";
import { cpus, loadavg } from "node:os";
import { join } from "node:path";
import { remove, run } from "@wrenn/effects";
import { GuestAgent } from "../../apps/host-agent/src/envd/guest-agent.ts";
import { runInGuest } from "../../apps/host-agent/src/envd/run-in-guest.ts";
import { GUEST_MAC_ADDRESS } from "../../apps/host-agent/src/network/network.ts";
import { startTestHost, type TestHost } from "../../apps/host-agent/src/testing/host-fixture.ts";
import { readCpuModel } from "../../apps/host-agent/src/vmm/cpu.ts";
import type { MachineShape } from "../../apps/host-agent/src/vmm/vmm.ts";
import { readProcessUsage } from "../../apps/host-agent/src/vmm/process-usage.ts";
import { startPlatform } from "../../tests/first-light/platform.ts";
import { bareRestore, goldenFiles } from "./bare-restore.ts";

const RUNS = Number(process.argv[2] ?? 20);
const AT_ONCE = 20;
/** As a platform has unless told. */
const READY_SLOTS = 8;
const MIB = 1024 * 1024;
const signal = (): AbortSignal => AbortSignal.timeout(600_000);

const quantile = (values: readonly number[], q: number): number =>
  values.toSorted((a, b) => a - b)[Math.min(values.length - 1, Math.floor(q * values.length))] ?? Number.NaN;
const timed = async <T>(work: () => Promise<T>, into: number[]): Promise<T> => {
  const startedAt = performance.now();
  const result = await work();
  into.push(performance.now() - startedAt);
  return result;
};
const rows: string[] = [];
function row(what: string, values: readonly number[], floor: readonly number[] | undefined, unit = "ms"): void {
  const [p50, p95] = [quantile(values, 0.5), quantile(values, 0.95)];
  const base = floor === undefined ? undefined : quantile(floor, 0.5);
  rows.push(
    `| ${what} | ${values.length} | ${p50.toFixed(1)} ${unit} | ${p95.toFixed(1)} ${unit} | ${base === undefined ? "" : `${base.toFixed(1)} ${unit}`} | ${base === undefined ? "" : (p50 / base).toFixed(2)} |`,
  );
}

/** A bare restore of the golden snapshot, in a namespace and on an overlay that are made before the clock runs. */
async function prepareBare(
  host: TestHost,
  golden: ReturnType<typeof goldenFiles>,
  shape: MachineShape,
  scratch: string,
) {
  const slot = await host.network.acquire("bench", signal());
  const directory = await mkdtemp(join(scratch, "bare-"));
  const diskPath = join(directory, "disk.qcow2");
  await run(["qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", golden.disk, diskPath]);
  const spec = {
    name: "bench",
    directory,
    supervisionDirectory: directory,
    networkNamespace: slot.namespacePath,
    tapName: slot.tapName,
    macAddress: GUEST_MAC_ADDRESS,
    uid: 0,
    diskPath,
    diskBackingPaths: [],
    diskDirectory: directory,
    shape,
    memory: { image: golden.memory, layers: { header: "", builds: {} } },
    statePath: golden.state,
  };
  const qemu = {
    program: "/usr/bin/qemu-system-x86_64",
    accelerator: host.vmm.accelerator,
    tscKhz: Number(host.vmm.compatibility["tscKhz"] ?? 0),
  };
  return {
    start: async () => await bareRestore(qemu, spec, slot.namespaceName, slot.hostAddress),
    release: async () => await host.network.release(slot),
  };
}

const host = await startTestHost({ readySlots: READY_SLOTS });
const scratch = await mkdtemp("/tmp/wrenn-bench-");
try {
  const first = await host.manager.create(host.request());
  const { goldenKey = "", resources } = first.sandbox;
  await host.manager.destroy(first.sandbox.id, 0);
  const golden = goldenFiles(join(host.stateDirectory, "golden", goldenKey));
  const bareRun = async () => await prepareBare(host, golden, resources, scratch);

  const creates: number[] = [];
  const resumes: number[] = [];
  const pauses: number[] = [];
  const writes: number[] = [];
  const network: number[] = [];
  const bare: number[] = [];
  const anonymous = { ours: [] as number[], floor: [] as number[] };
  const priv = { ours: [] as number[], floor: [] as number[] };
  const weigh = async (pid: number, of: "ours" | "floor"): Promise<void> => {
    const usage = await readProcessUsage(pid);
    anonymous[of].push((usage?.anonymousBytes ?? 0) / MIB);
    priv[of].push((usage?.privateBytes ?? 0) / MIB);
  };
  const stageTimes = new Map<string, number[]>();
  const note = (stage: string, ms: number): void => void stageTimes.set(stage, [...(stageTimes.get(stage) ?? []), ms]);
  for (let n = 0; n < RUNS; n++) {
    const { sandbox, stages } = await timed(() => host.manager.create(host.request()), creates);
    network.push(stages.find(({ name }) => name === "slot")?.durationMs ?? 0);
    for (const { name, durationMs } of stages) note(`stage of create: ${name}`, durationMs);
    await weigh(host.manager.running()[0]?.pid ?? 0, "ours");
    const paused = await timed(() => host.manager.pause(sandbox.id, 1), pauses);
    const bytes = paused.stages.reduce((sum, stage) => sum + stage.bytes, 0);
    await timed(async () => {
      const file = await open(join(scratch, "bytes"), "w");
      await file.write(Buffer.alloc(bytes, 1));
      await file.sync();
      await file.close();
    }, writes);
    await timed(() => host.manager.resume(sandbox.id, 2, undefined), resumes);
    await host.manager.destroy(sandbox.id, 0);

    const prepared = await bareRun();
    const vm = await timed(() => prepared.start(), bare);
    note("stage of the floor: restore and resume", vm.restoreMs);
    note("stage of the floor: hook", vm.hookMs);
    await weigh(vm.pid, "floor");
    await vm.stop();
    await prepared.release();
  }

  const together: number[] = [];
  const many = await Promise.all(
    Array.from({ length: AT_ONCE }, () => timed(() => host.manager.create(host.request()), together)),
  );
  await Promise.all(many.map(({ sandbox }) => host.manager.destroy(sandbox.id, 0)));
  const bareTogether: number[] = [];
  const prepared = await Promise.all(Array.from({ length: AT_ONCE }, bareRun));
  const vms = await Promise.all(prepared.map(({ start }) => timed(start, bareTogether)));
  await Promise.all(vms.map((vm) => vm.stop()));
  await Promise.all(prepared.map(({ release }) => release()));

  row("create; floor: bare restore to `POST /init`", creates, bare);
  row(`create, ${AT_ONCE} at once; floor: one create`, together, creates);
  row(`create, ${AT_ONCE} at once; floor: ${AT_ONCE} bare restores at once`, together, bareTogether);
  row("resume; floor: bare restore of its golden snapshot", resumes, bare);
  row("pause; floor: writing as many bytes, with fsync", pauses, writes);
  row("network slot, taken from the ready ones; floor: the create", network, creates);
  row("anonymous memory (PSS); floor: bare restore", anonymous.ours, anonymous.floor, "MiB");
  row("private memory of an idle clone; floor: bare restore", priv.ours, priv.floor, "MiB");
  for (const [name, values] of stageTimes) row(name, values, undefined);
} finally {
  await remove(scratch);
  await host.stop();
}

const emptyPool = await startTestHost();
try {
  const made: number[] = [];
  for (let n = 0; n < RUNS; n++)
    await emptyPool.network.release(await timed(() => emptyPool.network.acquire("bench", signal()), made));
  row("network slot, made when none is ready", made, undefined);
} finally {
  await emptyPool.stop();
}

const platform = await startPlatform({ WRENN_SLOT_FIRST: "26000" });
try {
  const { body } = await platform.request("POST", "/v1/sandboxes", {});
  const record = JSON.parse(await readFile(join(platform.directory, "sandboxes", body.id, "record.json"), "utf8"));
  const address = `10.11.${record.slotIndex >> 8}.${record.slotIndex & 255}`;
  const guest = new GuestAgent(address, record.accessToken);
  const api: number[] = [];
  const straight: number[] = [];
  for (let n = 0; n < RUNS * 5; n++) {
    await timed(() => platform.request("POST", `/v1/sandboxes/${body.id}/exec`, { cmd: "/bin/true" }), api);
    await timed(() => runInGuest(guest, ["/bin/true"], "", signal()), straight);
  }
  await guest.close();
  row("exec through the API; floor: straight to envd", api, straight);
} finally {
  await platform.stop();
}

process.stdout.write(
  [
    `${await readCpuModel()}, ${cpus().length} CPUs, load ${loadavg()
      .map((load) => load.toFixed(1))
      .join(" ")} at the end`,
    "",
    "| What | Runs | p50 | p95 | Floor p50 | p50 / floor |",
    "| --- | --- | --- | --- | --- | --- |",
    ...rows,
    "",
  ].join("\n"),
);
process.exit(0);
