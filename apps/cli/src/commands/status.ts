import { WrennError } from "@wrenn/errors";
import { defineCommand } from "../define-command.ts";
import { EXIT } from "../exit-code.ts";
import { formatTable } from "../terminal/table.ts";
import { formatDuration } from "../terminal/units.ts";

export const statusCommand = defineCommand({
  name: "status",
  summary: "Show whether the platform runs",
  description: [
    "Shows the platform's processes, where its API is, and whether it answers. Exit code 4 when it does not run.",
  ],
  examples: [
    ["wrenn status", "does it run, and where?"],
    ["wrenn status --json | jq -r .url", "its address, in a script"],
  ],
  async run({ config, output, signal }) {
    const { ApiClient } = await import("../api/client.ts");
    const { findUrl } = await import("../api/connect.ts");
    const { layoutOf } = await import("../platform/layout.ts");
    const { readLiveRecord } = await import("../platform/supervisor-record.ts");
    const url = await findUrl(config);
    // without root, or far from the platform, only the API can tell
    const record = await readLiveRecord(layoutOf(config.stateDirectory)).catch(() => undefined);
    const health = await new ApiClient({ url, credentials: {} })
      .call("ready", { signal, timeoutMs: 5_000 })
      .catch((error: unknown) => WrennError.from(error));
    if (health instanceof WrennError && health.code === "canceled") throw health;
    const answers = !(health instanceof WrennError);
    const now = Date.now();
    const services = (record?.services ?? []).map((service) => ({
      name: service.name,
      state: service.state,
      pid: service.process?.pid ?? null,
      uptime_sec: service.state === "running" ? Math.round((now - Date.parse(service.since)) / 1_000) : null,
      restarts: service.restarts,
      last_exit: service.lastExit ?? null,
    }));
    const value = {
      state: record?.state ?? (answers ? "ready" : "stopped"),
      url,
      answers,
      version: answers ? health.version : null,
      supervisor_pid: record?.supervisor.pid ?? null,
      processes: services,
    };
    output.result(value, () => {
      if (value.state === "stopped") return `The platform does not run; start it with: wrenn up --detach`;
      const lines = [
        `The platform is ${value.state}; its API at ${url} ${answers ? `answers (version ${health.version})` : `does not answer: ${health.message}`}`,
      ];
      const rows = services.map(({ name, state, pid, uptime_sec, restarts, last_exit }) => [
        name,
        state,
        String(pid ?? "-"),
        uptime_sec === null ? "-" : formatDuration(uptime_sec * 1_000),
        `${restarts}${last_exit === null ? "" : ` (${last_exit})`}`,
      ]);
      if (rows.length > 0) lines.push(formatTable(["PROCESS", "STATE", "PID", "UP", "RESTARTS"], rows));
      return lines.join("\n");
    });
    return value.state === "ready" && answers ? EXIT.done : EXIT.unavailable;
  },
});
