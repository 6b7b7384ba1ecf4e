/**
 * Every live checkpoint lets a running sandbox write to one more overlay. When these are many, its disk is
 * shortened behind it, while it runs: its VM brings what lies between the disk and the template's into the disk. A pause or
 * checkpoint that comes meanwhile ends that early, which loses nothing.
 */
import type { Disk } from "../disk/disk-store.ts";
import type { Entry } from "./entry.ts";
import { collect } from "./layers.ts";
import type { LiveGuest } from "./lifecycle.ts";
import type { Registry } from "./registry.ts";

/** A shortening under way. */
export interface Shortening {
  abort: AbortController;
  /** Settles when the VM's disk is let alone: with the disk as it is then. Never rejects. */
  ended: Promise<Disk>;
}

/** Begins it for a running sandbox when it is due and none is under way. Never fails. */
export function shortenDiskWhenDue(registry: Registry, entry: Entry): void {
  const { record, guest } = entry;
  const { collapseGenerations, records, log } = registry.options;
  const { disk } = record;
  const own = `${records.paths(record.id).root}/`;
  const foreign = disk?.backingPaths.findIndex((path) => !path.startsWith(own)) ?? -1;
  // A block device is no overlay of the VM's: its store joins what lies below it.
  if (guest === undefined || disk === undefined || disk.device !== undefined || foreign < collapseGenerations) return;
  if (entry.shortening !== undefined || registry.closing.signal.aborted) return;
  const shortened = { ...disk, backingPaths: disk.backingPaths.slice(foreign) };
  const abort = new AbortController();
  const signal = AbortSignal.any([abort.signal, entry.abandon.signal, registry.closing.signal]);
  const ended = guest.vm.shortenDisk(shortened.backingPaths[0] as string, signal).then(
    (done) => (done ? shortened : disk),
    (error: unknown) => {
      if (!signal.aborted) log.error({ operation: "shorten-disk", id: record.id, err: error });
      return disk; // a name for every byte, whether all are needed or not
    },
  );
  const shortening = { abort, ended };
  entry.shortening = shortening;
  void ended
    .then(() => registry.locked(record.id, () => takeOver(registry, entry, guest, shortening)))
    .catch((error: unknown) => log.error({ operation: "shorten-disk", id: record.id, err: error }));
}

async function takeOver(registry: Registry, entry: Entry, guest: LiveGuest, shortening: Shortening): Promise<void> {
  if (entry.shortening !== shortening) return; // somebody ended it
  await endShortening(entry);
  if (entry.guest !== guest) return;
  await registry.enter(entry, entry.record.state, entry.record.reason);
  registry.options.log.info({ operation: "shorten-disk", id: entry.record.id, disk: entry.record.disk });
  await collect(registry, entry);
}

/** Ends what is under way, done or not. Whoever calls holds the sandbox's lock, and may then freeze its guest. */
export async function endShortening(entry: Entry): Promise<void> {
  const { shortening, record } = entry;
  if (shortening === undefined) return;
  shortening.abort.abort();
  const disk = await shortening.ended;
  entry.shortening = undefined;
  if (record.disk?.path === disk.path) record.disk = disk;
}
