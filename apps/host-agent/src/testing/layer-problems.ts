/** Whether a paused sandbox is kept whole. */
import { Qcow2Store } from "../disk/qcow2/qcow2-store.ts";
import type { SandboxView } from "../sandbox/manager.ts";
import { verifyLayer, type VerifiedFile } from "../snapshot/verify-layer.ts";
import type { TestHost } from "./host-fixture.ts";

/** What is wrong with its last layer, which is held meanwhile: its generations may be joined behind it just now, and it would go. */
export async function problemsOfLastLayer(
  { manager, pager }: TestHost,
  { id, incarnation }: SandboxView,
): Promise<VerifiedFile[]> {
  using held = await manager.holdPresentLayer(id, incarnation);
  const files = await verifyLayer(held.layer, { pager, disks: new Qcow2Store() }, AbortSignal.timeout(120_000));
  return files.filter(({ problem }) => problem !== undefined);
}
