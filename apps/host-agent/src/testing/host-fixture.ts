/**
 * A whole host agent inside a test process: real VMM, shim, namespaces and guest, in a state directory
 * of its own, on the pair of VMM and disks that `tests/config.ts` tells. The built guest and the golden snapshots are shared by all tests of a machine
 * (`WRENN_TEST_GUEST_DIR`), for they take a minute to make.
 */
import { mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { join } from "node:path";
import { pino } from "pino";
import { ensureGuest, progressFor, type GuestManifest, type GuestTemplate } from "@wrenn/guest";
import { examineMachine } from "@wrenn/virtualization";
import { DISK_STORE, FIRECRACKER, patient, VMM } from "../../../../tests/config.ts";
import { ENVD_PATH, MEMORY_GUARD_PATH, SHIM_PATH } from "../binaries.ts";
import type { DiskStore } from "../disk/disk-store.ts";
import { openDisks } from "../disk/open-disks.ts";
import type { NetworkPool } from "../network/network.ts";
import { createNetworkPool } from "../network/pool.ts";
import { openPager } from "../pager/open-pager.ts";
import type { Pager } from "../pager/pager.ts";
import type { CreateRequest, SandboxManager } from "../sandbox/manager.ts";
import { openManager } from "../sandbox/open-manager.ts";
import { COLLAPSE_GENERATIONS } from "../snapshot/policy.ts";
import { openVmm } from "../vmm/open-vmm.ts";
import type { Vmm } from "../vmm/vmm.ts";

export const SHARED_DIRECTORY = process.env["WRENN_TEST_GUEST_DIR"] ?? "/var/lib/wrenn-test";
/** Another QEMU than the host's: tools/qemu-versions. */
const TEST_QEMU = process.env["WRENN_TEST_QEMU"] ?? "qemu-system-x86_64";
/** Slots of these tests; other suites and a running platform use other ranges. */
const FIRST_SLOT = 21_000;
/** Some twenty: what the tests of one version need, and not every version's. */
const GOLDEN_MAX_BYTES = 4 * 1024 ** 3;

const log = pino({ level: process.env["WRENN_TEST_LOG"] ?? "silent" });

export interface TestHost {
  stateDirectory: string;
  manifest: GuestManifest;
  template: GuestTemplate;
  vmm: Vmm;
  disks: DiskStore;
  pager: Pager;
  network: NetworkPool;
  manager: SandboxManager;
  /** A create request for a sandbox of 1 vCPU and 512 MiB. */
  request(overrides?: Partial<CreateRequest>): CreateRequest;
  /** Ends this agent and leaves its guests running; the directory stays. */
  abandon(): Promise<void>;
  /** Destroys everything. */
  stop(): Promise<void>;
}

/** The shared guest, built if need be, and this machine's VMM. */
export async function prepareGuestAndVmm(pager: Pager): Promise<{ manifest: GuestManifest; vmm: Vmm }> {
  const signal = AbortSignal.timeout(patient(240_000));
  await mkdir(SHARED_DIRECTORY, { recursive: true, mode: 0o711 });
  const manifest = await ensureGuest({
    stateDirectory: SHARED_DIRECTORY,
    envdPath: ENVD_PATH,
    progress: progressFor(process.stderr),
    signal,
  });
  const searchPath = process.env["PATH"] ?? "";
  const machine = await examineMachine(
    { accelerator: undefined, firecracker: FIRECRACKER, jailer: undefined, searchPath },
    signal,
  );
  const vmm = await openVmm(
    VMM,
    machine,
    {
      stateDirectory: SHARED_DIRECTORY, // where the TSC frequency of the shared snapshots is remembered
      qemu: TEST_QEMU,
      searchPath,
      shimPath: SHIM_PATH,
      memoryGuardPath: MEMORY_GUARD_PATH,
      pager,
      diskBytesPerSecond: 256 * 1024 * 1024,
      diskOperationsPerSecond: undefined,
      log,
    },
    signal,
  );
  return { manifest, vmm };
}

/** @param options.stateDirectory an abandoned host's, to go on where it ended */
export async function startTestHost(
  options: {
    stateDirectory?: string;
    resolvers?: string[];
    uplink?: string;
    collapseGenerations?: number;
    /** Network slots that are kept ready; none unless told. */
    readySlots?: number;
  } = {},
): Promise<TestHost> {
  const stateDirectory = options.stateDirectory ?? (await mkdtemp("/tmp/wrenn-host-"));
  if (options.stateDirectory === undefined) {
    await mkdir(join(SHARED_DIRECTORY, "golden"), { recursive: true, mode: 0o700 });
    await symlink(join(SHARED_DIRECTORY, "golden"), join(stateDirectory, "golden"));
  }
  const pager = await openPager({ stateDirectory, log }, AbortSignal.timeout(patient(30_000)));
  const { manifest, vmm } = await prepareGuestAndVmm(pager);
  const disks = openDisks(DISK_STORE);
  const network = await createNetworkPool({
    stateDirectory,
    firstIndex: FIRST_SLOT,
    count: 64,
    readyCount: options.readySlots ?? 0,
    uidFirst: 2_000_000,
    resolvers: options.resolvers ?? ["203.0.113.53"],
    ...(options.uplink === undefined ? {} : { uplink: options.uplink }),
    logger: log,
  });
  const manager = await openManager({
    stateDirectory,
    vmm,
    pager,
    network,
    disks,
    manifest,
    log,
    collapseGenerations: options.collapseGenerations ?? COLLAPSE_GENERATIONS,
    goldenMaxBytes: GOLDEN_MAX_BYTES,
    healthIntervalMs: 1_000,
    reserves: { memoryMib: 256, diskMib: 1024, threads: 1024 },
  });
  const template = manifest.templates.find(({ name }) => name === "base") as GuestTemplate;
  return {
    stateDirectory,
    manifest,
    template,
    vmm,
    disks,
    pager,
    network,
    manager,
    request: (overrides = {}) => ({
      id: `sb${crypto.randomUUID().replaceAll("-", "").slice(0, 20)}`,
      incarnation: 1,
      templateBuildId: template.buildId,
      resources: { vcpus: 1, memoryMib: 512, diskMib: Math.ceil(template.virtualBytes / 1024 / 1024) },
      deadline: { idleTimeoutSec: undefined, endAt: undefined, onTimeout: "destroy" },
      envs: {},
      accessToken: crypto.randomUUID(),
      ...overrides,
    }),
    async abandon() {
      await manager.detach();
      await network.close();
      await pager.close();
    },
    async stop() {
      for (const { id } of manager.list()) await manager.destroy(id, 0);
      await manager.detach();
      await network.close();
      await pager.close();
      await rm(stateDirectory, { recursive: true, force: true });
    },
  };
}
