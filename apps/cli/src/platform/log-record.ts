/**
 * One line of a log: a JSON object with pino's `level`, `time` and `msg`. Processes that do not write
 * JSON (PostgreSQL, a crash's stack) are wrapped.
 */
export interface LogRecord {
  /** 20 debug, 30 info, 40 warn, 50 error, 60 fatal. */
  level: number;
  /** Milliseconds since 1970. */
  time: number;
  msg: string;
  [field: string]: unknown;
}

const POSTGRES_LINE = /^\S+ \S+ \S+ \[\d+\] (?:\S+ )*?([A-Z]+\d?): {2}(.*)$/;
const LEVELS: Record<string, number> = { WARNING: 40, ERROR: 50, FATAL: 60, PANIC: 60 };

/** Reads a line of a process, whatever it is. */
export function parseLogLine(line: string, level = 30, now = Date.now()): LogRecord {
  if (line.startsWith("{")) {
    try {
      const value = JSON.parse(line) as Partial<LogRecord>;
      if (typeof value.level === "number") {
        return { ...value, level: value.level, time: parseTime(value.time) ?? now, msg: value.msg ?? "" };
      }
    } catch {
      // not JSON after all
    }
  }
  const [, severity, message] = POSTGRES_LINE.exec(line) ?? [];
  if (severity !== undefined && message !== undefined) {
    return { level: LEVELS[severity] ?? 30, time: now, msg: message };
  }
  return { level, time: now, msg: line };
}

/** pino writes milliseconds or RFC 3339, as it is told. */
function parseTime(time: unknown): number | undefined {
  const value = typeof time === "string" ? Date.parse(time) : typeof time === "number" ? time : Number.NaN;
  return Number.isNaN(value) ? undefined : value;
}

const LEVEL_NAMES: Record<number, string> = { 20: "debug", 40: "warn", 50: "error", 60: "fatal" };
/** Fields that a reader of one process's log does not need. */
const LEFT_OUT = new Set(["level", "time", "msg", "pid", "hostname", "process", "name", "v", "err", "operation"]);

/** The words of a record on one line: level unless it is `info`, operation and message, other fields. */
export function formatRecord(record: LogRecord): string {
  const { operation } = record;
  const words = [LEVEL_NAMES[record.level], typeof operation === "string" ? operation : undefined, record.msg];
  const fields = Object.entries(record)
    .filter(([name, value]) => !LEFT_OUT.has(name) && value !== undefined && value !== null)
    .map(([name, value]) => `${name}=${formatField(name, value)}`);
  const failure = record["err"] as { message?: string; stack?: string } | undefined;
  if (failure?.message !== undefined && !record.msg.includes(failure.message)) fields.push(`err=${failure.message}`);
  return [...words.filter(Boolean), ...fields].join(" ");
}

function formatField(name: string, value: unknown): string {
  if (typeof value === "number" && !Number.isInteger(value)) return value.toFixed(1);
  if (typeof value !== "object" || value === null) return String(value);
  const { method, url, statusCode } = value as { method?: string; url?: string; statusCode?: number };
  if (name === "req" && method !== undefined) return `${method} ${url}`;
  if (name === "res" && statusCode !== undefined) return String(statusCode);
  return JSON.stringify(value);
}
