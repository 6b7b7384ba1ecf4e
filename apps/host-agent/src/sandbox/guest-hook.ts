/**
 * The guest hook: what a guest is told before it counts as running. A clone shares the memory of its
 * origin, so that its random state, identity and clock must be replaced before user code can see them.
 */
import { createHash, randomBytes } from "node:crypto";
import { WrennError } from "@wrenn/errors";
import type { GuestAgent } from "../envd/guest-agent.ts";
import type { SandboxRecord } from "./record.ts";

/** Entropy for the guest's kernel: 256 bits of key, twice over. */
const ENTROPY_BYTES = 64;
/** Each has the guest agent's own deadline for a connection: on a busy host a guest first has to read the memory it answers with. */
const ATTEMPTS = 3;
/** A hook that took longer is done again, over the connection that is there then: the time in it was that of its beginning. */
const LATE_MS = 1_000;

export async function runGuestHook(
  guest: GuestAgent,
  record: SandboxRecord,
  defaultUser: string | undefined,
  signal: AbortSignal,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const startedAt = performance.now();
    const init = {
      timestamp: new Date().toISOString(),
      entropy: randomBytes(ENTROPY_BYTES).toString("base64"),
      hostname: record.id,
      machineId: machineIdOf(record.id),
      accessToken: record.accessToken,
      envVars: record.envs,
      ...(defaultUser === undefined ? {} : { defaultUser }),
      sandboxId: record.id,
      templateId: record.templateBuildId,
      lifecycleID: `${record.id}.${record.incarnation}`,
    };
    try {
      await guest.init(init, signal);
      if (performance.now() - startedAt < LATE_MS || attempt === ATTEMPTS) return;
    } catch (error) {
      const isUnanswered = error instanceof WrennError && error.code === "sandbox_unreachable";
      if (!isUnanswered || attempt === ATTEMPTS || signal.aborted) throw error;
    }
  }
}

/** The same for all of a sandbox's lives, another one for every sandbox. */
function machineIdOf(sandboxId: string): string {
  return createHash("sha256").update(sandboxId).digest("hex").slice(0, 32);
}
