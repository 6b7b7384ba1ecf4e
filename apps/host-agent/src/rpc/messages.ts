/** Between the agent's own shapes and the messages of hostagent.v1. */
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampDate, timestampFromDate } from "@bufbuild/protobuf/wkt";
import { WrennError } from "@wrenn/errors";
import { hostagent } from "@wrenn/protocol";
import type { GuestMetrics } from "../envd/guest-agent.ts";
import type { Deadline, Resources, SandboxState } from "../sandbox/record.ts";
import type { ForkChild } from "../sandbox/fork.ts";
import type { SandboxView } from "../sandbox/manager.ts";
import type { Stage } from "../sandbox/stages.ts";

const MAX_CHILDREN = 32;

const { SandboxState: State, OnTimeout, Health } = hostagent;

const HEALTH = { responsive: Health.RESPONSIVE, busy: Health.BUSY, unresponsive: Health.UNRESPONSIVE };

const STATE: Record<SandboxState, hostagent.SandboxState> = {
  creating: State.CREATING,
  running: State.RUNNING,
  pausing: State.PAUSING,
  paused: State.PAUSED,
  resuming: State.RESUMING,
  destroying: State.DESTROYING,
  failed: State.FAILED,
};

export function sandboxMessage(sandbox: SandboxView, gone = false): hostagent.Sandbox {
  const { deadline } = sandbox;
  return create(hostagent.SandboxSchema, {
    id: sandbox.id,
    incarnation: BigInt(sandbox.incarnation),
    state: gone ? State.GONE : STATE[sandbox.state],
    templateBuildId: sandbox.templateBuildId,
    resources: sandbox.resources,
    deadline: {
      idleTimeoutSec: deadline.idleTimeoutSec ?? 0,
      onTimeout: deadline.onTimeout === "pause" ? OnTimeout.PAUSE : OnTimeout.DESTROY,
      ...(deadline.endAt === undefined ? {} : { endAt: timestampFromDate(new Date(deadline.endAt)) }),
    },
    createdAt: timestampFromDate(new Date(sandbox.createdAt)),
    lastActiveAt: timestampFromDate(new Date(sandbox.lastActiveAt)),
    reason: sandbox.reason ?? "",
    resumable: sandbox.layer !== undefined && (sandbox.state === "paused" || sandbox.state === "failed"),
    health: sandbox.state === "running" ? HEALTH[sandbox.health] : Health.UNSPECIFIED,
  });
}

export function stageMessages(stages: readonly Stage[]): MessageInitShape<typeof hostagent.StageSchema>[] {
  return stages.map(({ name, durationMs, bytes, pages = {} }) => ({
    name,
    durationMs,
    bytes: BigInt(bytes),
    pages: Object.fromEntries(Object.entries(pages).map(([kind, count]) => [kind, BigInt(count)])),
  }));
}

export function metricsMessage(
  metrics: GuestMetrics,
): MessageInitShape<typeof hostagent.GetSandboxMetricsResponseSchema> {
  return {
    time: timestampFromDate(new Date(metrics.ts * 1_000)),
    cpuCount: metrics.cpu_count,
    cpuUsedPct: metrics.cpu_used_pct,
    memoryUsedBytes: BigInt(metrics.mem_used),
    memoryTotalBytes: BigInt(metrics.mem_total),
    memoryCacheBytes: BigInt(metrics.mem_cache),
    diskUsedBytes: BigInt(metrics.disk_used),
    diskTotalBytes: BigInt(metrics.disk_total),
  };
}

export function deadlineOf(message: hostagent.Deadline | undefined): Deadline {
  return {
    idleTimeoutSec: message === undefined || message.idleTimeoutSec === 0 ? undefined : message.idleTimeoutSec,
    endAt: message?.endAt === undefined ? undefined : timestampDate(message.endAt).toISOString(),
    onTimeout: message?.onTimeout === OnTimeout.PAUSE ? "pause" : "destroy",
  };
}

/** Bounds of what a guest may be, checked here again: the control plane's check may be another version's. */
export function resourcesOf(message: hostagent.Resources | undefined): Resources {
  const { vcpus = 0, memoryMib = 0, diskMib = 0 } = message ?? {};
  const bounds = [
    ["vcpus", vcpus, 1, 32],
    ["memory_mib", memoryMib, 128, 65_536],
    ["disk_mib", diskMib, 64, 1_048_576],
  ] as const;
  for (const [name, value, least, most] of bounds) {
    if (value < least || value > most)
      throw new WrennError("invalid_request", `Cannot create a sandbox with ${name} ${value}: ${least} to ${most}`);
  }
  return { vcpus, memoryMib, diskMib };
}

/** Ids become directory names: nothing but this form ever reaches the file system. */
export function checkedId(id: string): string {
  if (!/^sb[a-z0-9]{20}$/.test(id))
    throw new WrennError(
      "invalid_request",
      `Cannot use sandbox id ${JSON.stringify(id.slice(0, 80))}: "sb" and 20 characters a-z0-9`,
    );
  return id;
}

/** @throws WrennError `invalid_request` unless there are 1 to 32 with ids of their own */
export function childrenOf(children: readonly hostagent.ForkSandboxRequest_Child[]): ForkChild[] {
  const ids = new Set(children.map(({ id }) => checkedId(id)));
  if (children.length < 1 || children.length > MAX_CHILDREN || ids.size < children.length)
    throw new WrennError("invalid_request", `Cannot fork into ${children.length} sandboxes: 1 to ${MAX_CHILDREN}`);
  return children.map(({ id, incarnation, deadline, accessToken }) => ({
    id,
    incarnation: incarnationOf(incarnation),
    deadline: deadlineOf(deadline),
    accessToken,
  }));
}

export function incarnationOf(value: bigint): number {
  if (value < 1n || value > BigInt(Number.MAX_SAFE_INTEGER))
    throw new WrennError("invalid_request", `Cannot use incarnation ${value}`);
  return Number(value);
}
