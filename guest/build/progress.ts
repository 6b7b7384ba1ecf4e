/**
 * What a build tells while it runs. One step at a time: `step`, any number of `update`, `done`.
 * `progress-bars.ts` shows it on a terminal, `progress-lines.ts` anywhere else.
 */
import { barProgress } from "./progress-bars.ts";
import { lineProgress } from "./progress-lines.ts";

/** What the numbers of an update count. */
export type ProgressUnit = "bytes" | "packages";

/** The listener of a build. */
export interface GuestProgress {
  /** A step starts. `name` is short and stable (`tree-base`), `detail` is for people. */
  step(name: string, detail: string): void;
  /** How far the current step is; it may count one thing after another. */
  update(done: number, total?: number, unit?: ProgressUnit): void;
  /** The current step ended well; `detail` tells what came out, such as its size. */
  done(detail: string): void;
  /** The current step did not end; the error that follows tells why. */
  failed(): void;
  /** A remark that belongs to no step, such as waiting for another build. */
  note(text: string): void;
}

/** What a renderer needs of a stream; `process.stderr` is one. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Bars on a terminal, plain lines elsewhere. */
export function progressFor(stream: ProgressStream): GuestProgress {
  return stream.isTTY === true ? barProgress(stream) : lineProgress(stream);
}
