/**
 * The host agent: owns the sandboxes of one host. It is started by `wrenn up`; its VMs outlive it.
 */
import { once } from "node:events";
import { writeSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { dirname } from "node:path";
import { pino } from "pino";
import { WrennError } from "@wrenn/errors";
import { startTracing, stopTracing } from "@wrenn/tracing";
import { chooseVirtualization, keepChoice } from "@wrenn/virtualization";
import { readGuestManifest } from "@wrenn/guest";
import packageJson from "../package.json" with { type: "json" };
import { MEMORY_GUARD_PATH, SHIM_PATH } from "./binaries.ts";
import { parseConfig } from "./config.ts";
import { startMetricsServer } from "./metrics/metrics-server.ts";
import { Metrics } from "./metrics/metrics.ts";
import { openDisks } from "./disk/open-disks.ts";
import { createNetworkPool } from "./network/pool.ts";
import { discoverResolvers } from "./network/resolvers.ts";
import { forgetOnExit, readOnExit } from "./on-exit.ts";
import { openPager } from "./pager/open-pager.ts";
import { hostService } from "./rpc/host-service.ts";
import { logContext } from "./request-context.ts";
import { startRpcServer } from "./rpc/server.ts";
import { openManager } from "./sandbox/open-manager.ts";
import { Reaper } from "./sandbox/reaper.ts";
import { openVmm } from "./vmm/open-vmm.ts";

const MIB = 1024 * 1024;
const START_DEADLINE_MS = 60_000;
/** How long requests under way may go on after SIGTERM. */
const DRAIN_MS = 20_000;

async function main(): Promise<void> {
  const config = parseConfig(process.env);
  const log = pino({ level: config.WRENN_LOG_LEVEL, base: { process: "host-agent" }, mixin: logContext });
  startTracing({
    endpoint: config.OTEL_EXPORTER_OTLP_ENDPOINT,
    serviceName: "wrenn-host-agent",
    onError: (error) => log.warn({ operation: "trace", err: error }),
  });
  if (process.getuid?.() !== 0)
    throw new WrennError("needs_root", "Cannot start the host agent: not root", {
      hint: "Run it as root: VMs need namespaces and users of their own",
    });
  const stateDirectory = config.WRENN_DIR;
  const starting = AbortSignal.timeout(START_DEADLINE_MS);
  const manifest = await readGuestManifest(stateDirectory);
  const token = (await readFile(config.tokenPath, "utf8")).trim();
  const searchPath = process.env["PATH"] ?? "";
  const choice = await chooseVirtualization(
    {
      stateDirectory,
      vmm: config.WRENN_VMM,
      disks: config.WRENN_DISKS,
      accelerator: config.WRENN_ACCEL,
      firecracker: config.WRENN_FIRECRACKER,
      jailer: config.WRENN_JAILER,
      searchPath,
    },
    starting,
  );
  if (choice.refusal !== undefined) throw choice.refusal;
  log.info({ operation: "choice", vmm: choice.vmm, disks: choice.disks });
  await keepChoice(stateDirectory, { vmm: choice.vmm.kind, disks: choice.disks.kind });
  const pager = await openPager({ stateDirectory, log }, starting);
  const vmm = await openVmm(
    choice.vmm.kind,
    choice.machine,
    {
      stateDirectory,
      qemu: config.WRENN_QEMU,
      searchPath,
      shimPath: SHIM_PATH,
      memoryGuardPath: MEMORY_GUARD_PATH,
      pager,
      diskBytesPerSecond: config.WRENN_DISK_BYTES_PER_SEC,
      diskOperationsPerSecond: config.WRENN_DISK_OPERATIONS_PER_SEC,
      log,
    },
    starting,
  );
  const disks = openDisks(choice.disks.kind);
  const network = await createNetworkPool({
    stateDirectory,
    firstIndex: config.WRENN_SLOT_FIRST,
    count: config.WRENN_SLOT_COUNT,
    readyCount: config.WRENN_SLOT_READY,
    uidFirst: config.WRENN_UID_FIRST,
    resolvers: config.WRENN_DNS?.split(",") ?? (await discoverResolvers()).resolvers,
    ...(config.WRENN_UPLINK === undefined ? {} : { uplink: config.WRENN_UPLINK }),
    limits: {
      connections: config.WRENN_NET_CONNECTIONS,
      newConnectionsPerSecond: config.WRENN_NET_NEW_CONNECTIONS_PER_SEC,
      bytesPerSecond: config.WRENN_NET_BYTES_PER_SEC,
      packetsPerSecond: config.WRENN_NET_PACKETS_PER_SEC,
    },
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
    collapseGenerations: config.WRENN_COLLAPSE_GENERATIONS,
    goldenMaxBytes: config.WRENN_GOLDEN_MAX_MIB * MIB,
    healthIntervalMs: config.WRENN_HEALTH_INTERVAL_SEC * 1_000,
    reserves: {
      memoryMib: config.WRENN_MEMORY_RESERVED_MIB,
      diskMib: config.WRENN_DISK_RESERVED_MIB,
      threads: config.WRENN_THREADS_RESERVED,
    },
  });
  await forgetOnExit(stateDirectory);
  const reaper = new Reaper(manager, log);
  reaper.start();
  await mkdir(dirname(config.socketPath), { recursive: true, mode: 0o700 });
  const host = hostService({ stateDirectory, version: packageJson.version, vmm, manifest, manager });
  const metrics = new Metrics({
    stateDirectory,
    network,
    states: () => manager.list().map(({ state }) => state),
    running: () => manager.running(),
  });
  manager.events.on("operation", (operation) => metrics.observe(operation));
  const metricsServer =
    config.WRENN_METRICS_PORT === undefined ? undefined : await startMetricsServer(metrics, config.WRENN_METRICS_PORT);
  const server = await startRpcServer({ socketPath: config.socketPath, token, manager, host, metrics, log });
  if (config.WRENN_READY_FD !== undefined)
    writeSync(config.WRENN_READY_FD, `${JSON.stringify({ ready: true, socket: config.socketPath })}\n`);
  log.info({ operation: "ready", socket: config.socketPath });

  log.info({ operation: "stopping", signal: await stopSignal() });
  reaper.stop();
  metricsServer?.close().closeAllConnections();
  const closed = once(server, "close"); // it may close before anything below is done
  server.close();
  server.closeIdleConnections();
  if ((await readOnExit(stateDirectory, config.WRENN_ON_EXIT)) === "destroy") {
    const all = manager.list().map(({ id }) => manager.destroy(id, 0, "the host agent was stopped"));
    for (const result of await Promise.allSettled(all))
      if (result.status === "rejected") log.error({ operation: "stopping", err: result.reason });
  }
  // Sandboxes go on: the next agent adopts them. Long streams are cut, operations are waited for.
  const drained = Promise.all([manager.detach(), closed]);
  const cut = setTimeout(() => server.closeAllConnections(), 2_000);
  const late = setTimeout(() => log.warn({ operation: "stopping", late: true }), DRAIN_MS);
  await Promise.race([drained, once(AbortSignal.timeout(DRAIN_MS), "abort")]);
  clearTimeout(cut);
  clearTimeout(late);
  await Promise.all([network.close(), pager.close()]);
  await stopTracing();
}

/** Settles at the first SIGTERM or SIGINT. The listeners stay: without one, a running tool's exit hook ends us. */
async function stopSignal(): Promise<NodeJS.Signals> {
  const { promise, resolve } = Promise.withResolvers<NodeJS.Signals>();
  for (const signal of ["SIGTERM", "SIGINT"] as const) process.on(signal, resolve);
  return await promise;
}

try {
  await main();
  process.exit(0);
} catch (thrown) {
  const error = WrennError.from(thrown);
  process.stderr.write(
    `${JSON.stringify({ level: 60, process: "host-agent", code: error.code, msg: error.message, hint: error.hint })}\n`,
  );
  if (error.fault === "platform") process.stderr.write(`${error.stack}\n`);
  process.exit(1);
}
