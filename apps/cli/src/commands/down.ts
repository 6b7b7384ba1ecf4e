import type { CommandContext } from "../define-command.ts";
import { defineCommand } from "../define-command.ts";
import { WrennError } from "@wrenn/errors";
import { chooseOnExit, parseOnExit, type OnExit } from "../platform/on-exit.ts";

/** Sandboxes that are destroyed at once. */
const PARALLEL = 8;

export const downCommand = defineCommand<{ destroy?: boolean; onExit?: OnExit }>({
  name: "down",
  summary: "Stop the platform",
  description: [
    "Stops the platform's processes, which finish what is under way. Sandboxes go on running, and the next start finds them again, unless `wrenn up --on-exit destroy` or this command says otherwise. Harmless when the platform does not run.",
  ],
  options: [
    {
      flags: "--on-exit <what>",
      description: "keep or destroy all sandboxes, running and paused (default: what `wrenn up` was told, or keep)",
      parse: parseOnExit,
    },
    { flags: "--destroy", description: "short for --on-exit destroy" },
  ],
  examples: [
    ["wrenn down", "for an update: sandboxes go on meanwhile"],
    ["wrenn down --on-exit destroy", "stop everything"],
  ],
  async run(context, _args, options) {
    const { layoutOf } = await import("../platform/layout.ts");
    const { readLiveRecord } = await import("../platform/supervisor-record.ts");
    const { stopPlatform } = await import("../platform/stop-platform.ts");
    const { countStored } = await import("../debug/sandbox-directory.ts");
    const { requireRoot } = await import("../platform/require-root.ts");
    const { config, output, signal } = context;
    const destroy = options.destroy === true || options.onExit === "destroy";
    const layout = layoutOf(config.stateDirectory);
    const record = await readLiveRecord(layout);
    if (record === undefined) {
      if (destroy) {
        throw new WrennError("unavailable", "Cannot destroy sandboxes: the platform does not run", {
          hint: "Start it first: ./wrenn up --detach",
        });
      }
      output.result({ stopped: false }, () => "The platform does not run");
      return;
    }
    requireRoot("stop the platform");
    const before = await countStored(config);
    if (destroy) await destroyAll(context);
    // other teams' sandboxes are the host agent's to destroy
    if (destroy || options.onExit !== undefined) await chooseOnExit(layout, destroy ? "destroy" : "keep");
    await stopPlatform(layout, signal);
    const left = await countStored(config);
    const destroyed = before.all - left.all;
    output.result({ stopped: true, destroyed, running: left.running }, () =>
      ["The platform is stopped", ...remainder(destroyed, left.running)].join("; "),
    );
  },
});

function remainder(destroyed: number, running: number): string[] {
  const [goes, it] = running === 1 ? ["goes", "it"] : ["go", "them"];
  return [
    ...(destroyed === 0 ? [] : [`${count(destroyed)} destroyed`]),
    ...(running === 0 ? [] : [`${count(running)} ${goes} on running; wrenn up finds ${it} again`]),
  ];
}

function count(sandboxes: number): string {
  return `${sandboxes} ${sandboxes === 1 ? "sandbox" : "sandboxes"}`;
}

async function destroyAll({ connect, signal }: CommandContext): Promise<void> {
  const client = await connect();
  const listed = client.list("listSandboxes", { signal: AbortSignal.any([signal, AbortSignal.timeout(20_000)]) });
  const rest = (await Array.fromAsync(listed)).map(({ id }) => id);
  const worker = async (): Promise<void> => {
    for (let id = rest.pop(); id !== undefined; id = rest.pop()) await client.destroySandbox(id, signal);
  };
  await Promise.all(Array.from({ length: PARALLEL }, worker));
}
