/** What the doctor looks at: one requirement or choice of the machine each. */
import type { CliConfig } from "../config.ts";

/**
 * - `ok`: there, or chosen
 * - `limited`: the platform works, with the consequence that is told
 * - `missing`: the platform cannot work without it
 */
export type FindingStatus = "ok" | "limited" | "missing";

export interface Finding {
  name: string;
  status: FindingStatus;
  /** What was found. */
  found: string;
  /** What follows from it; empty when nothing does. */
  consequence?: string;
  /** What to do about it. */
  hint?: string;
}

export type Check = (config: CliConfig, signal: AbortSignal) => Promise<readonly Finding[]>;
