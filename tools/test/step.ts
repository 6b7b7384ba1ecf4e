/** A step of the test command: a check, or a suite. */
import type { Counts } from "./counts.ts";

/** What `--only` chooses between. */
export const PARTS = ["check", "rust", "unit", "host", "vm", "nested", "combinations"] as const;
export type Part = (typeof PARTS)[number];

export interface StepContext {
  /** The checkout. */
  root: string;
  /** The environment of every program that is started. */
  env: Readonly<Record<string, string>>;
  signal: AbortSignal;
  full: boolean;
  /** `i/n` */
  shard?: string;
  pattern?: string;
}

export interface StepResult {
  counts: Counts;
  /** What failed, one line each; empty when nothing did. */
  failures: readonly string[];
  /** Shown when something failed and it was not shown while it ran. */
  output?: string;
}

export interface Step {
  name: string;
  part: Part;
  /** Skipped without root. */
  needsRoot?: boolean;
  run(context: StepContext): Promise<StepResult>;
}
