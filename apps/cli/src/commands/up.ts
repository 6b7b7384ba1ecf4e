import { once } from "node:events";
import type { CommandContext } from "../define-command.ts";
import { defineCommand } from "../define-command.ts";
import { parseOnExit, type OnExit } from "../platform/on-exit.ts";
import type { SupervisorRecord } from "../platform/supervisor-record.ts";

export const upCommand = defineCommand<{ detach?: boolean; onExit?: OnExit }>({
  name: "up",
  summary: "Start the platform",
  description: [
    "Starts the platform: the database (PostgreSQL, embedded unless DATABASE_URL is set), the host agent and the control plane, each a process of its own that is started again when it dies. The first start builds the guest. Shows the logs until Ctrl-C stops it; with --detach returns as soon as it serves. Harmless when it runs already.",
  ],
  options: [
    { flags: "-d, --detach", description: "run in the background, return when ready" },
    {
      flags: "--on-exit <what>",
      description:
        "keep or destroy: what becomes of sandboxes at an orderly stop (default: keep); a crash always keeps them",
      parse: parseOnExit,
    },
  ],
  examples: [
    ["wrenn up --detach", "start in the background"],
    ["WRENN_PORT=7790 WRENN_DIR=/srv/wrenn wrenn up", "a second platform beside the first"],
  ],
  async run({ config, ...rest }, _args, options) {
    const onExit = options.onExit === undefined ? {} : { WRENN_ON_EXIT: options.onExit };
    const context = { ...rest, config: { ...config, env: { ...config.env, ...onExit } } };
    const { ensurePlatform } = await import("../platform/start-platform.ts");
    if (options.detach !== true) return await superviseHere(context);
    const { record, started } = await ensurePlatform(context);
    tell(context, record, started);
  },
});

function tell({ output }: CommandContext, record: SupervisorRecord, started: boolean): void {
  output.result({ started, url: record.url, supervisor_pid: record.supervisor.pid }, () =>
    started ? `The platform serves at ${record.url}` : `The platform runs already, at ${record.url}`,
  );
}

/** The supervisor in this process, with its logs on the terminal. */
async function superviseHere(context: CommandContext): Promise<void> {
  const { lockStart, settledRecord } = await import("../platform/start-platform.ts");
  const { layoutOf } = await import("../platform/layout.ts");
  const { readLiveRecord } = await import("../platform/supervisor-record.ts");
  const { preparePlatform } = await import("../platform/prepare.ts");
  const { Supervisor } = await import("../platform/supervisor.ts");
  const { renderRecord } = await import("../platform/log-view.ts");
  const { config, output, signal } = context;
  const layout = layoutOf(config.stateDirectory);

  const running = await readLiveRecord(layout);
  if (running?.state === "ready") return tell(context, running, false);
  const lock = await lockStart(layout, context);
  try {
    const meanwhile = await settledRecord(layout, signal);
    if (meanwhile !== undefined) return tell(context, meanwhile, false);
    await preparePlatform(config, signal);
    const supervisor = new Supervisor({
      config,
      onProgress: (text) => output.note(text.charAt(0).toUpperCase() + text.slice(1)),
      onLog: (name, record) =>
        output.line(output.json ? JSON.stringify({ process: name, ...record }) : renderRecord(output, name, record)),
    });
    await supervisor.start(signal);
    await lock.release();
    output.note(`The platform serves at ${supervisor.url}; Ctrl-C stops it, sandboxes go on`);
    if (!signal.aborted) await once(signal, "abort");
    await supervisor.stop();
  } finally {
    await lock.release();
  }
}
