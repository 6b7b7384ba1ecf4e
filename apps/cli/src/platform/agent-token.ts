import { randomBytes } from "node:crypto";
import { statIfExists, writeFileAtomic } from "@wrenn/effects";
import type { PlatformLayout } from "./layout.ts";

/** Makes the secret between control plane and host agent, 32 random bytes in hex, unless it is there. */
export async function ensureAgentToken(layout: PlatformLayout): Promise<void> {
  if ((await statIfExists(layout.agentToken)) !== undefined) return;
  await writeFileAtomic(layout.agentToken, randomBytes(32).toString("hex"), { mode: 0o600, name: "agent-token" });
}
