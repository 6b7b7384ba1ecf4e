/**
 * What the production path adds to the work itself, in the testbed: ratios only, for there times say nothing.
 * `./wrenn testbed -- node bench/nested/main.ts [runs]`; definitions: bench/nested/README.md.
 */
import { chmod, mkdir, mkdtemp, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { once } from "node:events";
import { pino } from "pino";
import { remove, run, start } from "@wrenn/effects";
import { DeviceMapperStore } from "../../apps/host-agent/src/disk/device-mapper/device-mapper-store.ts";
import type { Disk, DiskBase } from "../../apps/host-agent/src/disk/disk-store.ts";
import { openPager } from "../../apps/host-agent/src/pager/open-pager.ts";
import { firecrackerBinary, hasFirecracker, openFirecracker } from "../../apps/host-agent/src/testing/firecracker.ts";
import { FrozenGuest, type Frozen } from "../../apps/host-agent/src/testing/frozen-guest.ts";
import { appears } from "../../apps/host-agent/src/vmm/appears.ts";
import { FirecrackerApi } from "../../apps/host-agent/src/vmm/firecracker/api.ts";
import { apiSocketPath } from "../../apps/host-agent/src/vmm/firecracker/firecracker-vmm.ts";

const RUNS = Number(process.argv[2] ?? 5);
const MIB = 1024 * 1024;
const DISK_BYTES = 64 * MIB;
const WRITTEN_BYTES = 16 * MIB;
const signal = (): AbortSignal => AbortSignal.timeout(200_000);

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;

/** Takes turns, and prints what the medians' ratio is. */
async function compare(what: string, work: () => Promise<number>, floor: () => Promise<number>): Promise<void> {
  const [ours, bare]: [number[], number[]] = [[], []];
  for (let turn = 0; turn < RUNS; turn++) {
    bare.push(await floor());
    ours.push(await work());
  }
  console.log(`| ${what} | ${RUNS} | ${(median(ours) / median(bare)).toFixed(2)} |`);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const startedAt = performance.now();
  await work();
  return performance.now() - startedAt;
}

const root = await mkdtemp(join(tmpdir(), "wrenn-bench-"));
await chmod(root, 0o711);
console.log("| What | Runs | Ratio to its floor |\n| --- | --- | --- |");
await compareDisks();
if (hasFirecracker()) await compareRestores();
await remove(root);

async function compareDisks(): Promise<void> {
  const store = new DeviceMapperStore();
  const path = join(root, "base.raw");
  await writeFile(path, Buffer.alloc(DISK_BYTES, 0x11), { mode: 0o444 });
  const base: DiskBase = { path, format: "raw", backingPaths: [] };
  let number = 0;
  const create = async (on = base): Promise<Disk> =>
    await store.create({ id: `d${number++}`, directory: root, base: on, sizeBytes: DISK_BYTES, uid: 65_534 }, signal());
  const kept = await create(); // the base stays open, as on a host in use
  const origin = (await run(["losetup", "--find", "--show", "--read-only", path])).stdout.trim();

  const bareDisk = async (): Promise<void> => {
    const file = join(root, "bare.cow");
    await run(["truncate", "-s", String(2 * DISK_BYTES), file]);
    const loop = (await run(["losetup", "--find", "--show", "--direct-io=on", file])).stdout.trim();
    const table = `0 ${DISK_BYTES / 512} snapshot ${origin} ${loop} P 8`;
    await run(["dmsetup", "create", "bench-bare", "--table", table]);
    await run(["dmsetup", "remove", "bench-bare"]);
    await run(["losetup", "--detach", loop]);
    await remove(file);
  };
  await compare(
    "a disk made and removed; floor: the same by dmsetup and losetup",
    () => timed(async () => await store.remove(await create())),
    () => timed(bareDisk),
  );

  const write = (target: string) => () =>
    timed(() =>
      run([
        "dd",
        "if=/dev/zero",
        `of=${target}`,
        "bs=64k",
        `count=${WRITTEN_BYTES / 65_536}`,
        "oflag=direct",
        "conv=notrunc,fsync",
      ]),
    );
  const file = join(root, "file");
  await writeFile(file, Buffer.alloc(WRITTEN_BYTES));
  await compare("16 MiB written directly; floor: to a file", write(kept.device ?? ""), write(file));

  await compare(
    "a sealed copy of a disk that goes on; floor: cp --reflink and sync of both",
    async () => {
      const startedAt = performance.now();
      const copy = await store.sealCopy(kept, { id: `copy${number++}`, directory: root }, signal());
      const ms = performance.now() - startedAt;
      await store.remove(copy);
      return ms;
    },
    async () => {
      const copy = join(root, "bare.copy");
      const ms = await timed(async () => {
        await run(["sync", kept.path]);
        await run(["cp", "--reflink=always", kept.path, copy]);
        await run(["sync", copy]);
      });
      await remove(copy);
      return ms;
    },
  );
  await run(["losetup", "--detach", origin]);
  await store.remove(kept);
}

async function compareRestores(): Promise<void> {
  const guest = new FrozenGuest(root);
  const pager = await openPager({ stateDirectory: root, log: pino({ level: "silent" }) }, signal());
  const vmm = await openFirecracker(root, pager);
  const frozen = await guest.freeze(vmm, signal());
  let number = 0;
  await compare(
    "a Firecracker VM restored; floor: the binary by itself, as root, and its load request",
    async () => {
      const placement = await guest.place(`vm${number++}`, signal());
      const startedAt = performance.now();
      const vm = await vmm.restore({ ...placement, ...frozen }, signal());
      const ms = performance.now() - startedAt;
      await vm.stop();
      return ms;
    },
    async () => {
      const { diskPath } = await guest.place(`bare${number++}`, signal());
      return await bareRestore(diskPath, frozen, join(root, `process${number}`));
    },
  );
  await guest.remove();
  await pager.close();
}

/** @returns how long it took, without the end of its process */
async function bareRestore(diskPath: string, { memory, statePath }: Frozen, directory: string): Promise<number> {
  await mkdir(directory);
  await symlink(diskPath, join(directory, "disk"));
  const socket = apiSocketPath(directory);
  const startedAt = performance.now();
  const listening = appears(socket, signal());
  const child = start([firecrackerBinary, "--api-sock", socket, "--level", "Error"], {
    cwd: directory,
    stdio: "ignore",
  });
  const ended = once(child, "exit");
  await listening;
  const api = new FirecrackerApi(socket);
  await api.loadSnapshot(
    {
      snapshot_path: statePath,
      mem_backend: { backend_type: "File", backend_path: memory.image },
      track_dirty_pages: true,
      resume_vm: false,
    },
    signal(),
  );
  const ms = performance.now() - startedAt;
  api.close();
  child.kill("SIGKILL");
  await ended;
  return ms;
}
