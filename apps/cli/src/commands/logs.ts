import { WrennError } from "@wrenn/errors";
import { defineCommand } from "../define-command.ts";
import { parseInteger } from "../terminal/units.ts";

export const logsCommand = defineCommand<{ follow?: boolean; lines: number }>({
  name: "logs",
  summary: "Show what the platform's processes log",
  arguments: [{ syntax: "[process]", description: "database, host-agent or control-plane; all unless told" }],
  options: [
    { flags: "-f, --follow", description: "go on with what is logged from now on" },
    { flags: "-n, --lines <count>", description: "how many records to begin with", parse: parseInteger, default: 100 },
  ],
  examples: [["wrenn logs -f host-agent", "follow one process"]],
  async run({ config, output, signal }, [name], options) {
    const { layoutOf } = await import("../platform/layout.ts");
    const { follow, listLogs, readLast } = await import("../platform/log-reader.ts");
    const { renderRecord } = await import("../platform/log-view.ts");
    const { logs } = layoutOf(config.stateDirectory);
    const known = await listLogs(logs);
    if (name !== undefined && !known.includes(name)) {
      throw new WrennError("not_found", `Cannot show the log of ${name}: there is none`, {
        hint: known.length === 0 ? "The platform has never run here: ./wrenn up" : `There are: ${known.join(", ")}`,
      });
    }
    const names = name === undefined ? known : [name];
    const show = ({ name: process, record }: { name: string; record: Parameters<typeof renderRecord>[2] }): void =>
      output.line(output.json ? JSON.stringify({ process, ...record }) : renderRecord(output, process, record));
    for (const record of await readLast(logs, names, options.lines)) show(record);
    if (options.follow !== true) return;
    for await (const record of follow(logs, names, signal)) show(record);
    signal.throwIfAborted();
  },
});
