/** What the supervisor tells others about itself: run/supervisor.json, replaced whenever something changes. */
import { readFile } from "node:fs/promises";
import { writeFileAtomic } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { PlatformLayout } from "./layout.ts";
import { isAlive, type ProcessIdentity } from "./process-identity.ts";

/** The processes of a platform, in the order of their start. */
export type ServiceName = "database" | "host-agent" | "control-plane";

/**
 * - `starting`: its process runs or is about to, but does not serve yet
 * - `running`: it serves
 * - `waiting`: it ended and is started again after a pause
 * - `stopped`: it was told to end, or never started
 */
export type ServiceState = "starting" | "running" | "waiting" | "stopped";

export interface ServiceStatus {
  name: ServiceName;
  state: ServiceState;
  process?: ProcessIdentity;
  /** When the state began, RFC 3339. */
  since: string;
  /** How often it was started again. */
  restarts: number;
  /** How it ended last. */
  lastExit?: string;
}

export interface SupervisorRecord {
  supervisor: ProcessIdentity;
  state: "starting" | "ready" | "stopping";
  version: string;
  /** Where the API is. */
  url: string;
  startedAt: string;
  services: ServiceStatus[];
}

export async function writeRecord(layout: PlatformLayout, record: SupervisorRecord): Promise<void> {
  await writeFileAtomic(layout.supervisorRecord, `${JSON.stringify(record, null, 2)}\n`, { name: "supervisor.record" });
}

/**
 * The record as it was written last, of a supervisor that may be gone.
 * @throws WrennError `needs_root` when this user may not see it.
 */
export async function readRecord(layout: PlatformLayout): Promise<SupervisorRecord | undefined> {
  try {
    return JSON.parse(await readFile(layout.supervisorRecord, "utf8")) as SupervisorRecord;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    if (code === "EACCES") {
      throw new WrennError("needs_root", `Cannot see the platform of ${layout.state}: only root may`, {
        cause: error,
        hint: "Run the same command as root",
      });
    }
    if (error instanceof SyntaxError) return undefined; // as good as none: the lock tells the truth
    throw error;
  }
}

/** The record of a supervisor that runs. */
export async function readLiveRecord(layout: PlatformLayout): Promise<SupervisorRecord | undefined> {
  const record = await readRecord(layout);
  return record !== undefined && isAlive(record.supervisor) ? record : undefined;
}
