import { kill } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { PlatformLayout } from "./layout.ts";
import { requireRoot } from "./require-root.ts";
import { readLiveRecord } from "./supervisor-record.ts";
import { waitForSupervisorsEnd } from "./supervisor.ts";

/** Three processes have up to 20 s, 20 s and 35 s to end. */
const STOP_DEADLINE_MS = 90_000;

/**
 * Ends the platform's processes and waits for it; sandboxes go on.
 * @returns false when none run.
 */
export async function stopPlatform(layout: PlatformLayout, signal: AbortSignal): Promise<boolean> {
  const record = await readLiveRecord(layout);
  if (record === undefined) return false;
  requireRoot("stop the platform");
  kill(record.supervisor.pid, "SIGTERM");
  const deadline = AbortSignal.timeout(STOP_DEADLINE_MS);
  try {
    await waitForSupervisorsEnd(layout, AbortSignal.any([signal, deadline]));
  } catch (error) {
    if (!deadline.aborted) throw error;
    throw new WrennError(
      "timeout",
      `Cannot stop the platform: its supervisor (process ${record.supervisor.pid}) goes on`,
      {
        cause: error,
        hint: `See ./wrenn logs, then end it: kill -9 ${record.supervisor.pid}`,
      },
    );
  }
  return true;
}
