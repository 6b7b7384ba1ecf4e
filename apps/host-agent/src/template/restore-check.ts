/**
 * The proof that a layer can be resumed: a throw-away guest that reaches nothing. Before its first instruction
 * all of the memory that its VMM was given must be what was captured, and the VMM may have changed no more of it than
 * restoring takes; then its agent must answer.
 */
import { chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { remove } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { placementOf, type DiskStore } from "../disk/disk-store.ts";
import { GuestAgent } from "../envd/guest-agent.ts";
import { closeEgress } from "../network/close-egress.ts";
import { GUEST_MAC_ADDRESS, type NetworkPool } from "../network/network.ts";
import { SUPERVISION } from "../retention/retention.ts";
import type { Stages } from "../sandbox/stages.ts";
import { buildOf, guestMemoryOf, statePathOf, type Layer } from "../snapshot/layer.ts";
import type { Vmm } from "../vmm/vmm.ts";
import { readRestoredMemory } from "./memory-digest.ts";

const MIB = 1024 * 1024;
const ANSWER_DEADLINE_MS = 60_000;

export interface RestoreCheckTools {
  vmm: Vmm;
  network: NetworkPool;
  disks: DiskStore;
}

/**
 * @param directory made for this, and removed; its `supervision` tells a later process what to end
 * @param digest SHA-256 that the whole memory must have
 * @throws WrennError `incompatible_snapshot` when the layer does not come back as it was
 */
export async function checkRestore(
  layer: Layer,
  options: { name: string; directory: string; diskMib: number; digest: string },
  { vmm, network, disks }: RestoreCheckTools,
  stages: Stages,
  signal: AbortSignal,
): Promise<void> {
  const { name, directory, diskMib, digest } = options;
  const supervisionDirectory = join(directory, SUPERVISION);
  const vmDirectory = join(directory, "vm");
  const { disk, shape } = layer.meta;
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => remove(directory, "check.remove"));
  await mkdir(supervisionDirectory, { recursive: true, mode: 0o700 });
  await mkdir(vmDirectory, { mode: 0o700 });
  const slot = await network.acquire(name, signal);
  cleanup.defer(() => network.release(slot));
  await closeEgress(slot);
  await chown(vmDirectory, slot.uid, slot.uid);
  const overlay = await disks.create(
    { id: "check", directory, base: disk, sizeBytes: diskMib * MIB, uid: slot.uid },
    signal,
  );
  cleanup.defer(() => disks.remove(overlay));
  const memory = guestMemoryOf(layer);
  const vm = await stages.time("check-restore", () =>
    vmm.restore(
      {
        name: `check-${name}`,
        directory: vmDirectory,
        supervisionDirectory,
        networkNamespace: slot.namespacePath,
        tapName: slot.tapName,
        macAddress: GUEST_MAC_ADDRESS,
        uid: slot.uid,
        ...placementOf(overlay),
        shape,
        memory,
        statePath: statePathOf(layer.directory),
        build: buildOf(layer),
      },
      signal,
    ),
  );
  cleanup.defer(async () => void (await vm.stop()));
  const found = await stages.time("check-memory", () => readRestoredMemory(vm.pid, memory.image, signal));
  if (found.digest !== digest) throw broken(layer, "its memory comes back as another one");
  const most = vmm.restoreWritesPages(shape);
  if (found.changedPages > most)
    throw broken(layer, `its VMM changed ${found.changedPages} pages of the guest's, at most ${most} are its own`);
  const agent = new GuestAgent(slot.hostAddress, "");
  cleanup.defer(() => agent.close());
  await stages.time("check-answer", async () => {
    await vm.resume(signal);
    const ended = vm.exited.then(() => {
      throw broken(layer, "its VM ended");
    });
    ended.catch(() => undefined);
    await Promise.race([
      ended,
      agent.waitUntilReady(AbortSignal.any([signal, AbortSignal.timeout(ANSWER_DEADLINE_MS)])),
    ]);
  });
}

function broken({ meta }: Layer, why: string): WrennError {
  return new WrennError("incompatible_snapshot", `Cannot resume from ${meta.buildId}: ${why}`);
}
