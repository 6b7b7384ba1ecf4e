/** How a log record looks on a terminal. */
import type { Output } from "../terminal/output.ts";
import { formatRecord, type LogRecord } from "./log-record.ts";

const NAME_WIDTH = "control-plane".length;
const STYLES: Record<string, "cyan" | "magenta" | "green"> = {
  database: "green",
  "host-agent": "magenta",
};

export function renderRecord(output: Output, name: string, record: LogRecord): string {
  const time = new Date(record.time).toISOString().slice(11, 23);
  const style = STYLES[name] ?? "cyan";
  const text = formatRecord(record);
  const words =
    record.level >= 50 ? output.style("red", text) : record.level >= 40 ? output.style("yellow", text) : text;
  return `${output.style("dim", time)} ${output.style(style, name.padEnd(NAME_WIDTH))} ${words}`;
}
