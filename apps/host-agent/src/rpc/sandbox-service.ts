/** Lifecycle of sandboxes: hostagent.v1 over the manager. */
import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { hostagent } from "@wrenn/protocol";
import type { SandboxManager, SandboxView } from "../sandbox/manager.ts";
import { mapped } from "./errors.ts";
import {
  checkedId,
  childrenOf,
  deadlineOf,
  incarnationOf,
  metricsMessage,
  resourcesOf,
  sandboxMessage,
  stageMessages,
} from "./messages.ts";

const MAX_PAGE_SIZE = 1000;
const KEEPALIVE_MS = 30_000;
const METRICS_TIMEOUT_MS = 5_000;

type SandboxMethods =
  | "createSandbox"
  | "getSandbox"
  | "listSandboxes"
  | "destroySandbox"
  | "pauseSandbox"
  | "resumeSandbox"
  | "forkSandbox"
  | "setSandboxDeadline"
  | "getSandboxMetrics"
  | "watchSandboxes";

export function sandboxService(
  manager: SandboxManager,
): Pick<ServiceImpl<typeof hostagent.HostAgentService>, SandboxMethods> {
  return {
    createSandbox: (request) =>
      mapped(async () => {
        const { sandbox, stages } = await manager.create({
          id: checkedId(request.id),
          incarnation: incarnationOf(request.incarnation),
          templateBuildId: request.templateBuildId,
          resources: resourcesOf(request.resources),
          deadline: deadlineOf(request.deadline),
          envs: { ...request.envs },
          accessToken: request.accessToken,
        });
        return { sandbox: sandboxMessage(sandbox), stages: stageMessages(stages) };
      }),

    getSandbox: ({ id }) => mapped(async () => ({ sandbox: sandboxMessage(manager.get(checkedId(id))) })),

    listSandboxes: ({ pageSize, afterId }) =>
      mapped(async () => {
        const limit = pageSize === 0 ? MAX_PAGE_SIZE : Math.min(pageSize, MAX_PAGE_SIZE);
        const rest = manager.list().filter(({ id }) => id > afterId);
        const page = rest.slice(0, limit);
        return {
          sandboxes: await Promise.all(page.map((sandbox) => measured(manager, sandbox))),
          nextAfterId: rest.length > limit ? (page.at(-1)?.id ?? "") : "",
        };
      }),

    destroySandbox: ({ id, incarnation }) =>
      mapped(async () => ({ stages: stageMessages(await manager.destroy(checkedId(id), Number(incarnation))) })),

    pauseSandbox: ({ id, incarnation, diskOnly }) =>
      mapped(async () => {
        const options = { memory: !diskOnly };
        const { sandbox, stages } = await manager.pause(checkedId(id), incarnationOf(incarnation), options);
        return { sandbox: await measured(manager, sandbox), stages: stageMessages(stages) };
      }),

    resumeSandbox: ({ id, incarnation, deadline, cold }) =>
      mapped(async () => {
        const { sandbox, stages } = await manager.resume(
          checkedId(id),
          incarnationOf(incarnation),
          deadline === undefined ? undefined : deadlineOf(deadline),
          { memory: !cold },
        );
        return { sandbox: sandboxMessage(sandbox), stages: stageMessages(stages) };
      }),

    forkSandbox: ({ id, incarnation, children }) =>
      mapped(async () => {
        const made = await manager.fork({
          id: checkedId(id),
          incarnation: incarnationOf(incarnation),
          children: childrenOf(children),
        });
        return {
          children: made.children.map((child) => sandboxMessage(child)),
          stages: stageMessages(made.stages),
        };
      }),

    setSandboxDeadline: ({ id, incarnation, deadline }) =>
      mapped(async () => {
        const given = deadline === undefined ? undefined : deadlineOf(deadline);
        return { sandbox: sandboxMessage(await manager.setDeadline(checkedId(id), incarnationOf(incarnation), given)) };
      }),

    getSandboxMetrics: ({ sandboxId, incarnation }, { signal }) =>
      mapped(async () => {
        const guest = manager.guest(checkedId(sandboxId), incarnationOf(incarnation));
        return metricsMessage(await guest.metrics(AbortSignal.any([signal, AbortSignal.timeout(METRICS_TIMEOUT_MS)])));
      }),

    watchSandboxes: (_request, context) => watchSandboxes(manager, context.signal),
  };
}

/** With what is stored of it, unless it is gone meanwhile. */
async function measured(manager: SandboxManager, sandbox: SandboxView): Promise<hostagent.Sandbox> {
  const message = sandboxMessage(sandbox);
  const bytes = await manager.storedBytes(sandbox.id).catch(() => undefined);
  if (bytes !== undefined) message.storedBytes = BigInt(bytes);
  return message;
}

type WatchEvent = hostagent.WatchSandboxesResponse["event"];

/** Changes as they come. A slow reader gets the latest of each sandbox, not each change. */
async function* watchSandboxes(manager: SandboxManager, signal: AbortSignal): AsyncGenerator<{ event: WatchEvent }> {
  const changed = new Map<string, hostagent.Sandbox>();
  let wake = Promise.withResolvers<void>();
  const onChange = (sandbox: SandboxView, gone: boolean): void => {
    changed.set(sandbox.id, sandboxMessage(sandbox, gone));
    wake.resolve();
  };
  const onTick = (): void => wake.resolve();
  const timer = setInterval(onTick, KEEPALIVE_MS);
  manager.events.on("changed", onChange);
  signal.addEventListener("abort", onTick);
  try {
    yield { event: { case: "ready", value: create(hostagent.WatchSandboxesResponse_ReadySchema) } };
    while (!signal.aborted) {
      await wake.promise;
      wake = Promise.withResolvers<void>();
      const batch = [...changed.values()];
      changed.clear();
      for (const value of batch) yield { event: { case: "changed", value } };
      if (batch.length === 0)
        yield { event: { case: "keepalive", value: create(hostagent.WatchSandboxesResponse_KeepAliveSchema) } };
    }
  } finally {
    clearInterval(timer);
    manager.events.off("changed", onChange);
    signal.removeEventListener("abort", onTick);
  }
}
