/** Whether a paused sandbox is kept whole. */
import { patient } from "../../../../tests/config.ts";
import type { SandboxView } from "../sandbox/manager.ts";
import { verifyLayer, type VerifiedFile } from "../snapshot/verify-layer.ts";
import type { TestHost } from "./host-fixture.ts";

/** What is wrong with its last layer, which is held meanwhile: its generations may be joined behind it just now, and it would go. */
export async function problemsOfLastLayer(
  { manager, pager, disks }: TestHost,
  { id, incarnation }: SandboxView,
): Promise<VerifiedFile[]> {
  using held = await manager.holdPresentLayer(id, incarnation);
  const files = await verifyLayer(held.layer, { pager, disks }, AbortSignal.timeout(patient(120_000)));
  return files.filter(({ problem }) => problem !== undefined);
}
