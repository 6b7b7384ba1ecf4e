/** What a new host agent does with what an earlier one left: finish it, undo it, or adopt it. */
import { join } from "node:path";
import { GuestAgent } from "../envd/guest-agent.ts";
import { findLayer } from "../snapshot/layer.ts";
import { readExitRecord } from "../vmm/shim.ts";
import { reasonOf } from "../vmm/vm-exit.ts";
import type { VirtualMachine } from "../vmm/vmm.ts";
import type { Entry } from "./entry.ts";
import { fail, followExit } from "./exits.ts";
import { collect, settlePendingLayer } from "./layers.ts";
import { finishPause, thaw } from "./pause.ts";
import { rewriteWhenDue } from "./rewrite.ts";
import type { Registry } from "./registry.ts";

/** Giving up on a VM ends it: a host that is busy with many of them gets time. */
const ADOPT_DEADLINE_MS = 60_000;

/** Finishes or undoes what an earlier agent left, and adopts the guests that still run. */
export async function recover(registry: Registry): Promise<void> {
  const { records, network, golden, retention, disks, stateDirectory, log } = registry.options;
  const found = await records.readAll();
  for (const record of found) registry.add(record);
  for (const id of records.damaged)
    log.error({ operation: "recover", id, msg: `the record is damaged; ${records.paths(id).root} is kept as it is` });
  await Promise.all(
    found.map(({ id }) =>
      registry.locked(id, async () => {
        try {
          await recoverOne(registry, registry.entry(id));
        } catch (error) {
          // The others must be served; destroying this one tries again.
          log.error({ operation: "recover", id, err: error });
        }
      }),
    ),
  );
  // What cannot be removed now must not keep the host from serving.
  await retention.collect().catch((error: unknown) => log.error({ operation: "retention", err: error }));
  const alive = registry.entries();
  await network.sweep(new Set(alive.filter(({ guest }) => guest !== undefined).map(({ record }) => record.id)));
  await retention
    .keptOf("golden")
    .then((kept) => golden.collect(kept))
    .catch((error: unknown) => log.error({ operation: "golden.collect", err: error }));
  // After the VMs that nobody adopts have ended.
  const inUse = alive.flatMap(({ guest, record }) => (guest === undefined ? [] : (record.disk ?? [])));
  await disks
    .sweep(stateDirectory, inUse)
    .catch((error: unknown) => log.error({ operation: "disks.sweep", err: error }));
}

async function recoverOne(registry: Registry, entry: Entry): Promise<void> {
  const { record } = entry;
  const { log } = registry.options;
  log.info({ operation: "recover", id: record.id, state: record.state });
  switch (record.state) {
    case "creating":
    case "destroying":
      await registry.discard(entry);
      return;
    case "resuming":
      await registry.lifecycle.tearDown(record, undefined);
      await collect(registry, entry);
      await registry.settle(entry, "paused", "the host agent ended while resuming");
      return;
    case "pausing": {
      const { layers } = registry.options.records.paths(record.id);
      const committed = record.pendingLayer !== undefined && (await findLayer(join(layers, record.pendingLayer)));
      if (committed) await finishPause(registry, entry, undefined);
      else await adopt(registry, entry);
      return;
    }
    case "running":
      await adopt(registry, entry);
      return;
    case "paused":
    case "failed":
      await collect(registry, entry);
      rewriteWhenDue(registry, entry);
      return;
  }
}

async function adopt(registry: Registry, entry: Entry): Promise<void> {
  const { record } = entry;
  const { vmm, network, records, log } = registry.options;
  const signal = AbortSignal.timeout(ADOPT_DEADLINE_MS);
  const vm =
    record.vm === undefined
      ? undefined
      : await vmm.adopt(record.vm, signal).catch((error: unknown) => {
          log.error({ operation: "adopt", id: record.id, err: error });
          return undefined;
        });
  const slot =
    vm === undefined || record.slotIndex === undefined ? undefined : await network.adopt(record.id, record.slotIndex);
  if (vm === undefined || slot === undefined) {
    const how =
      vm === undefined ? reasonOf(await readExitRecord(records.paths(record.id).root)) : "its network was lost";
    await vm?.stop();
    await fail(registry, entry, `while the host agent was away, ${how}`);
    return;
  }
  const guest = { vm, slot, agent: new GuestAgent(slot.hostAddress, record.accessToken) };
  entry.guest = guest;
  followExit(registry, entry, guest);
  try {
    await settleDisk(entry, vm);
    await settlePendingLayer(registry, entry);
    await thaw(registry, entry, guest, ADOPT_DEADLINE_MS); // it may have been frozen for a pause or a checkpoint
  } catch (error) {
    // One that may be frozen for good must not be told as running.
    log.error({ operation: "adopt", id: record.id, err: error });
    await fail(registry, entry, "the next host agent could not let it run on");
    return;
  }
  await collect(registry, entry);
}

/** A checkpoint may have ended before or after the VM was switched to its next disk: the VM knows. */
async function settleDisk({ record }: Entry, vm: VirtualMachine): Promise<void> {
  const { nextDisk } = record;
  if (nextDisk === undefined) return;
  if ((await vm.currentDiskPath(AbortSignal.timeout(ADOPT_DEADLINE_MS))) === nextDisk.path) {
    record.disk = nextDisk;
    record.vm = { ...vm.record, diskPath: nextDisk.path };
  }
  record.nextDisk = undefined;
}

/** Lets go of every guest without ending it, after the operations under way; the next agent adopts them. */
export async function detach(registry: Registry): Promise<void> {
  const letGo = async (entry: Entry): Promise<void> => {
    const { guest } = entry;
    entry.guest = undefined;
    guest?.vm.detach();
    await guest?.agent.close();
  };
  registry.closing.abort();
  await Promise.all(registry.entries().map(async ({ rewriting }) => rewriting));
  await Promise.all(registry.entries().map(async ({ shortening }) => shortening?.ended));
  await Promise.all(registry.entries().map((entry) => registry.locked(entry.record.id, () => letGo(entry))));
}
