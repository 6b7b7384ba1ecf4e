/**
 * What pauses, live checkpoints and resumes cost beside raw probes of the same work in the same run.
 * bench/snapshots/README.md says what each row is. Needs root and the built guest, as the VM tests do.
 */
import { randomBytes } from "node:crypto";
import { mkdtemp, open, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { remove } from "@wrenn/effects";
import { runInGuest } from "../../apps/host-agent/src/envd/run-in-guest.ts";
import type { SandboxView } from "../../apps/host-agent/src/sandbox/manager.ts";
import type { Stage } from "../../apps/host-agent/src/sandbox/stages.ts";
import { headerPathOf, openLayer, type Layer } from "../../apps/host-agent/src/snapshot/layer.ts";
import { startTestHost } from "../../apps/host-agent/src/testing/host-fixture.ts";

const MIB = 1024 * 1024;
const ROUNDS = 5;
const DIRTY_MIB = [16, 64];
const MEMORY_MIB = 512;

const host = await startTestHost();
const scratch = await mkdtemp(join(host.stateDirectory, "bench-"));

async function shell({ id, incarnation }: SandboxView, script: string): Promise<void> {
  using lease = host.manager.use(id, incarnation);
  await runInGuest(lease.agent, ["/bin/bash", "-c", script], "root", AbortSignal.timeout(120_000));
}

const dirty = async (sandbox: SandboxView, mib: number): Promise<void> =>
  await shell(sandbox, `head -c ${mib}M /dev/urandom > /dev/shm/dirty`);

/** The floor of a copy out of memory: as many bytes into a new file, in the page cache; then their fsync. */
async function probe(bytes: number): Promise<{ copyMs: number; syncMs: number }> {
  const path = join(scratch, "probe");
  const chunk = randomBytes(4 * MIB);
  const file = await open(path, "w");
  const startedAt = performance.now();
  for (let done = 0; done < bytes; done += chunk.length)
    await file.write(chunk, 0, Math.min(chunk.length, bytes - done), done);
  const copied = performance.now();
  await file.sync();
  const synced = performance.now();
  await file.close();
  await remove(path);
  return { copyMs: copied - startedAt, syncMs: synced - copied };
}

const msOf = (stages: readonly Stage[], names: readonly string[]): number =>
  stages.filter(({ name }) => names.includes(name)).reduce((sum, { durationMs }) => sum + durationMs, 0);
const FROZEN = ["freeze", "capture", "switch-disk", "thaw"];
const median = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] as number;
const lastLayer = async (id: string): Promise<Layer> =>
  await openLayer(join(host.stateDirectory, "sandboxes", id, "layers", host.manager.get(id).layer as string));

interface Sample {
  /** Milliseconds of each stage of the pause. */
  stages: Record<string, number>;
  pauseMs: number;
  pauseFloorMs: number;
  frozenMs: number;
  frozenFloorMs: number;
  resumeMs: number;
  excess: number;
  mapPart: number;
}

/** One live checkpoint and one pause of a sandbox that wrote `mib` since the last, and the resume. */
async function measure(sandbox: SandboxView, mib: number): Promise<{ sample: Sample; sandbox: SandboxView }> {
  await dirty(sandbox, mib);
  const held = await host.manager.holdPresentLayer(sandbox.id, sandbox.incarnation);
  held[Symbol.dispose]();
  const checkpointBytes = held.layer.meta.memory?.dataBytes as number;
  const frozenMs = msOf(held.stages, FROZEN);
  const frozenFloorMs = (await probe(checkpointBytes)).copyMs;

  await dirty(sandbox, mib);
  const startedAt = performance.now();
  const { stages } = await host.manager.pause(sandbox.id, sandbox.incarnation);
  const pauseMs = performance.now() - startedAt;
  const layer = await lastLayer(sandbox.id);
  const { dataBytes } = layer.meta.memory as NonNullable<Layer["meta"]["memory"]>;
  const { copyMs, syncMs } = await probe(dataBytes);
  const allocated = (await stat(join(layer.directory, "mem"))).blocks * 512;
  const header = (await readFile(headerPathOf(layer.directory))).length;
  const resumedAt = performance.now();
  const resumed = await host.manager.resume(sandbox.id, sandbox.incarnation + 1, undefined);
  return {
    sandbox: resumed.sandbox,
    sample: {
      stages: Object.fromEntries(stages.map(({ name, durationMs }) => [name, durationMs])),
      pauseMs,
      pauseFloorMs: copyMs + syncMs,
      frozenMs,
      frozenFloorMs,
      resumeMs: performance.now() - resumedAt,
      excess: allocated / dataBytes,
      mapPart: header / (MEMORY_MIB * MIB),
    },
  };
}

try {
  const createdAt = performance.now();
  let { sandbox } = await host.manager.create(host.request());
  const createMs = performance.now() - createdAt;
  const load = (await readFile("/proc/loadavg", "utf8")).split(" ")[0];
  process.stdout.write(`load ${load}, create ${createMs.toFixed(0)} ms\n`);
  for (const mib of DIRTY_MIB) {
    const samples: Sample[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const measured = await measure(sandbox, mib);
      samples.push(measured.sample);
      sandbox = measured.sandbox;
    }
    const of = (key: Exclude<keyof Sample, "stages">): number => median(samples.map((sample) => sample[key]));
    const parts = Object.keys(samples[0]?.stages ?? {}).map(
      (name) => `${name} ${median(samples.map(({ stages }) => stages[name] ?? 0)).toFixed(0)}`,
    );
    const rows = [
      `pause: ${of("pauseMs").toFixed(0)} ms, floor ${of("pauseFloorMs").toFixed(0)} ms, goal 1.3 x floor + 30 ms`,
      `  of these: ${parts.join(", ")}`,
      `frozen by a live checkpoint: ${of("frozenMs").toFixed(0)} ms, floor ${of("frozenFloorMs").toFixed(0)} ms, goal 30 ms + floor`,
      `resume: ${of("resumeMs").toFixed(0)} ms`,
      `layer: ${of("excess").toFixed(3)} of its bytes allocated, header ${(of("mapPart") * 100).toFixed(3)} % of memory`,
    ];
    process.stdout.write(`${mib} MiB dirty\n${rows.map((row) => `  ${row}\n`).join("")}`);
  }
} finally {
  await host.stop();
}
