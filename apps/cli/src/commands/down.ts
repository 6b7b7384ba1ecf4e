import type { CommandContext } from "../define-command.ts";
import { defineCommand } from "../define-command.ts";
import { WrennError } from "@wrenn/errors";

/** Sandboxes that are destroyed at once. */
const PARALLEL = 8;

export const downCommand = defineCommand<{ destroy?: boolean }>({
  name: "down",
  summary: "Stop the platform",
  description: [
    "Stops the platform's processes. Sandboxes go on running, and the next start finds them again; --destroy ends them first. Harmless when the platform does not run.",
  ],
  options: [{ flags: "--destroy", description: "destroy all sandboxes first, running and paused" }],
  examples: [
    ["wrenn down", "for an update: sandboxes go on meanwhile"],
    ["wrenn down --destroy", "stop everything"],
  ],
  async run(context, _args, options) {
    const { layoutOf } = await import("../platform/layout.ts");
    const { readLiveRecord } = await import("../platform/supervisor-record.ts");
    const { stopPlatform } = await import("../platform/stop-platform.ts");
    const { requireRoot } = await import("../platform/require-root.ts");
    const { config, output, signal } = context;
    const layout = layoutOf(config.stateDirectory);
    const record = await readLiveRecord(layout);
    if (record === undefined) {
      if (options.destroy === true) {
        throw new WrennError("unavailable", "Cannot destroy sandboxes: the platform does not run", {
          hint: "Start it first: ./wrenn up --detach",
        });
      }
      output.result({ stopped: false }, () => "The platform does not run");
      return;
    }
    requireRoot("stop the platform");
    const sandboxes = await listAll(context).catch((error: unknown) => {
      if (options.destroy === true) throw error;
      return undefined; // a platform that does not answer can be stopped all the same
    });
    const destroyed = options.destroy === true ? await destroyAll(context, sandboxes?.map(({ id }) => id) ?? []) : 0;
    await stopPlatform(layout, signal);
    const running = options.destroy === true ? 0 : sandboxes?.filter(({ status }) => status === "running").length;
    output.result({ stopped: true, destroyed, running: running ?? null }, () =>
      ["The platform is stopped", remainder(options.destroy === true, destroyed, running)].filter(Boolean).join("; "),
    );
  },
});

function remainder(destroy: boolean, destroyed: number, running: number | undefined): string {
  if (destroy) return `${count(destroyed)} destroyed`;
  if (running === undefined) return "how many sandboxes go on is not known, for it did not answer";
  return running === 0
    ? ""
    : `${count(running)} ${running === 1 ? "goes" : "go"} on running; wrenn up finds ${running === 1 ? "it" : "them"} again`;
}

function count(sandboxes: number): string {
  return `${sandboxes} ${sandboxes === 1 ? "sandbox" : "sandboxes"}`;
}

async function listAll({ connect, signal }: CommandContext): Promise<{ id: string; status: string }[]> {
  const client = await connect();
  return await Array.fromAsync(
    client.list("listSandboxes", { signal: AbortSignal.any([signal, AbortSignal.timeout(20_000)]) }),
  );
}

async function destroyAll({ connect, signal }: CommandContext, ids: readonly string[]): Promise<number> {
  const client = await connect();
  const rest = [...ids];
  const worker = async (): Promise<void> => {
    for (let id = rest.pop(); id !== undefined; id = rest.pop()) await client.destroySandbox(id, signal);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
  return ids.length;
}
