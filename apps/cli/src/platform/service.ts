/** What the supervisor keeps running. */
import type { LogRecord } from "./log-record.ts";
import type { ServiceName } from "./supervisor-record.ts";

/** A process that serves. */
export interface RunningService {
  readonly pid: number;
  /** How it ended, in words; never rejects. */
  readonly exited: Promise<string>;
  /** Ends it: politely, then by force. Repeating is success. */
  stop(): Promise<void>;
}

export interface Service {
  readonly name: ServiceName;
  /** Starts the process and answers when it serves; leaves no process when it throws. */
  launch(options: { signal: AbortSignal; log: (record: LogRecord) => void }): Promise<RunningService>;
}
