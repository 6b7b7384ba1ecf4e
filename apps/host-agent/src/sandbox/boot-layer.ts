/**
 * A layer of generation 0: a guest is booted from a disk, and frozen when its agent waits. Golden snapshots
 * are made so, and sandboxes that go on from their disk alone.
 */
import { chown, open } from "node:fs/promises";
import { basename, join } from "node:path";
import { remove } from "@wrenn/effects";
import type { GuestManifest } from "@wrenn/guest";
import { placementOf, type DiskBase, type DiskStore } from "../disk/disk-store.ts";
import { GuestAgent } from "../envd/guest-agent.ts";
import { GUEST_MAC_ADDRESS, type Slot } from "../network/network.ts";
import type { Pager } from "../pager/pager.ts";
import { beginLayer, commitLayer, describeWholeMemory } from "../snapshot/commit-layer.ts";
import { headerPathOf, memoryPathOf, statePathOf, type Layer } from "../snapshot/layer.ts";
import { endedUnder } from "../vmm/vm-exit.ts";
import type { Vmm } from "../vmm/vmm.ts";
import type { Resources } from "./record.ts";

const MIB = 1024 * 1024;

export interface BootTools {
  vmm: Vmm;
  pager: Pager;
  disks: DiskStore;
  manifest: GuestManifest;
}

export interface BootLayerOptions {
  buildId: string;
  /** Directory that the layer becomes an entry of; its disk goes into the layer. */
  parent: string;
  base: DiskBase;
  resources: Resources;
  compatibility: Readonly<Record<string, string>>;
  /** Where the guest runs meanwhile; the caller's, who also gives it back. */
  place: { vmName: string; slot: Slot; supervisionDirectory: string; vmDirectory: string };
  /** What is done in the guest before it is frozen; it has answered already. */
  prepare: (guest: GuestAgent) => Promise<void>;
}

/** Boots, prepares, freezes and commits; a failure leaves no VM and no layer. */
export async function bootLayer(options: BootLayerOptions, tools: BootTools, signal: AbortSignal): Promise<Layer> {
  const { buildId, parent, base, resources, compatibility, place, prepare } = options;
  const { vmm, pager, disks, manifest } = tools;
  const { slot, supervisionDirectory, vmDirectory } = place;
  const shape = { vcpus: resources.vcpus, memoryMib: resources.memoryMib };
  const temporary = await beginLayer(parent, buildId);
  await using cleanup = new AsyncDisposableStack();
  cleanup.defer(() => remove(temporary, "boot.abandon"));
  const memoryPath = memoryPathOf(temporary);
  await makeMemoryFile(memoryPath, resources.memoryMib * MIB, slot.uid);
  const sizeBytes = resources.diskMib * MIB;
  const disk = await disks.create({ id: "disk", directory: temporary, base, sizeBytes, uid: slot.uid }, signal);
  cleanup.defer(() => disks.detach(disk));
  const vm = await vmm.boot(
    {
      name: place.vmName,
      directory: vmDirectory,
      supervisionDirectory,
      networkNamespace: slot.namespacePath,
      tapName: slot.tapName,
      macAddress: GUEST_MAC_ADDRESS,
      uid: slot.uid,
      ...placementOf(disk),
      shape,
      kernelPath: manifest.kernelPath,
      initramfsPath: manifest.initramfsPath,
      kernelArguments: manifest.kernelArguments,
      memoryPath,
    },
    signal,
  );
  cleanup.defer(async () => void (await vm.stop()));
  const guest = new GuestAgent(slot.hostAddress, "");
  cleanup.defer(() => guest.close());
  const ended = vm.exited.then((exit) => {
    throw endedUnder(`Cannot boot ${buildId}`, exit);
  });
  ended.catch(() => undefined);
  await Promise.race([ended, guest.waitUntilReady(signal).then(() => prepare(guest))]);
  await vm.pause(signal);
  await vm.flushDisk(signal);
  const statePath = statePathOf(temporary);
  await vm.capture({ buildId, statePath, memoryPath, headerPath: headerPathOf(temporary), parent: undefined }, signal);
  await guest.close();
  await vm.stop();
  await disks.lock({ path: disk.path, format: disk.format, backingPaths: disk.backingPaths });
  await chown(memoryPath, 0, 0);
  const final = join(parent, buildId);
  return await commitLayer({
    temporary,
    parent,
    buildId,
    shape,
    compatibility,
    memory: await describeWholeMemory(temporary, final, buildId, pager, signal),
    disk: { path: join(final, basename(disk.path)), format: disk.format, backingPaths: [...disk.backingPaths] },
    diskFile: disk.path,
  });
}

async function makeMemoryFile(path: string, bytes: number, uid: number): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.truncate(bytes);
    await file.chown(uid, uid);
  } finally {
    await file.close();
  }
}
