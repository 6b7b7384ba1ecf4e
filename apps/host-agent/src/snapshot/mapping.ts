/**
 * Which build holds each byte of a guest's memory: a sorted, gapless list that covers all of it. An
 * entry names a build and where in that build's storage the bytes are, or nobody (`undefined`): zeros.
 * A page that the guest zeroed is such an entry; only what the guest did not touch inherits its parent.
 */
import { WrennError } from "@wrenn/errors";

export interface MappingEntry {
  offset: number;
  length: number;
  /** Build id, or undefined for zeros. */
  build: string | undefined;
  /** Where the entry begins in that build's storage; 0 for zeros. */
  storageOffset: number;
}

export type Mapping = readonly MappingEntry[];

/** A run of bytes that a build puts over its parent: where in guest memory, and where in its file (undefined: zeros). */
export interface MemoryRun {
  offset: number;
  length: number;
  storageOffset: number | undefined;
}

/** The mapping of a memory that is whole in one build. */
export function wholeMapping(build: string, size: number): Mapping {
  return [{ offset: 0, length: size, build, storageOffset: 0 }];
}

/** Puts the runs of `build` (sorted, not overlapping) over `base`. */
export function overlay(base: Mapping, build: string, runs: readonly MemoryRun[]): Mapping {
  const result: MappingEntry[] = [];
  let next = 0;
  for (const entry of base) {
    const end = entry.offset + entry.length;
    let at = entry.offset;
    while (at < end) {
      while (next < runs.length && endOf(runs[next] as MemoryRun) <= at) next++;
      const run = runs[next];
      if (run === undefined || run.offset >= end) {
        append(result, slice(entry, at, end));
        at = end;
      } else if (run.offset > at) {
        append(result, slice(entry, at, run.offset));
        at = run.offset;
      } else {
        const stop = Math.min(endOf(run), end);
        const zeros = run.storageOffset === undefined;
        append(result, {
          offset: at,
          length: stop - at,
          build: zeros ? undefined : build,
          storageOffset: run.storageOffset === undefined ? 0 : run.storageOffset + (at - run.offset),
        });
        at = stop;
      }
    }
  }
  return result;
}

/** The entry that holds `offset`, by binary search. */
export function lookUp(mapping: Mapping, offset: number): MappingEntry {
  let low = 0;
  let high = mapping.length - 1;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if ((mapping[middle] as MappingEntry).offset <= offset) low = middle;
    else high = middle - 1;
  }
  const entry = mapping[low];
  if (entry === undefined || offset < entry.offset || offset >= entry.offset + entry.length) {
    throw new RangeError(`Cannot look up offset ${offset}: it is outside of the mapping`);
  }
  return entry;
}

/** How many bytes are not the base's: what has to be put over it. */
export function bytesBeyond(mapping: Mapping, base: string): number {
  return mapping.reduce((sum, { build, length }) => sum + (build === base ? 0 : length), 0);
}

/** @throws WrennError `incompatible_snapshot` unless the mapping covers exactly `size` in whole blocks */
export function validate(mapping: Mapping, size: number, blockBytes: number): void {
  let next = 0;
  for (const { offset, length, storageOffset } of mapping) {
    const aligned = [offset, length, storageOffset].every((value) => value % blockBytes === 0);
    if (offset !== next || length <= 0 || !aligned) {
      throw new WrennError("incompatible_snapshot", `Cannot read the memory mapping: bad entry at ${offset}`);
    }
    next += length;
  }
  if (next !== size)
    throw new WrennError("incompatible_snapshot", `Cannot read the memory mapping: it covers ${next} of ${size} bytes`);
}

const endOf = (run: MemoryRun): number => run.offset + run.length;

function slice(entry: MappingEntry, from: number, to: number): MappingEntry {
  const skipped = from - entry.offset;
  return {
    offset: from,
    length: to - from,
    build: entry.build,
    storageOffset: entry.build === undefined ? 0 : entry.storageOffset + skipped,
  };
}

/** Joins an entry to the last one when it goes on there, in storage too. */
function append(entries: MappingEntry[], entry: MappingEntry): void {
  const last = entries.at(-1);
  const joins =
    last !== undefined &&
    last.build === entry.build &&
    (entry.build === undefined || last.storageOffset + last.length === entry.storageOffset);
  if (joins) last.length += entry.length;
  else entries.push({ ...entry });
}
