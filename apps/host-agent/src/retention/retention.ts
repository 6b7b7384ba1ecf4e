/**
 * What may be removed. A sandbox that was destroyed, a template that was deleted and a golden snapshot
 * that nobody uses go at once, unless something that is still there stands on them; then they go with
 * the last of those. Whoever is about to stand on files holds them until its own record names them.
 */
import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { flush, ifExists, remove, statIfExists } from "@wrenn/effects";
import { inOrder } from "../joined-errors.ts";
import { stopLeftover } from "../vmm/shim.ts";
import { reachable } from "./reachable.ts";
import { textsIn, unit, UNIT_KINDS, unitOf, type Unit, type UnitDirectories, type UnitKind } from "./unit.ts";

/** Directories that are none of ours stay this long: somebody may have put them there for a moment. */
const UNKNOWN_GRACE_MS = 24 * 3_600_000;
/** Below `check`: where the shim of a template's guest that is being tried keeps its things. */
export const SUPERVISION = "supervision";
/** Golden snapshots have a budget of their own. */
const COLLECTED = { sandboxes: /^sb[a-z0-9]{20}$/, templates: /^bld_[0-9a-z]{20}$/ } as const;

/** Steps of the guest's build that hold a disk image of hundreds of MB; the others are what later builds begin with. */
const IMAGE = /^rootfs-[a-z0-9-]+-[0-9a-f]{16}$/;

const unitsOf = (paths: Iterable<string>, directories: UnitDirectories): Unit[] =>
  [...paths].flatMap((path) => unitOf(path, directories) ?? []);

export interface RetentionOptions {
  directories: UnitDirectories;
  log: Logger;
  /** Units that are in use by themselves: sandboxes with a record, templates with a manifest. */
  inUse: () => Iterable<Unit>;
  /** Paths that operations under way hold. */
  held: () => Iterable<string>;
  now?: () => number;
}

/** What a unit names: paths, and the units that they are in. */
interface Named {
  paths: ReadonlySet<string>;
  units: ReadonlySet<Unit>;
}

export class Retention {
  readonly #options: RetentionOptions;
  /** Read once and forgotten when it changes: every pause asks, whatever the number of sandboxes. */
  readonly #named = new Map<Unit, Promise<Named>>();
  #collecting: Promise<unknown> = Promise.resolve();
  /** Grows with every change of what units name. */
  #change = 0;

  constructor(options: RetentionOptions) {
    this.#options = options;
  }

  get directories(): UnitDirectories {
    return this.#options.directories;
  }

  /** To be told when a unit's record or layers changed, before what they name is let go of. */
  changed(kind: UnitKind, name: string): void {
    this.#named.delete(unit(kind, name));
    this.#change++;
  }

  /** What something that is in use stands on, itself included. */
  async kept(): Promise<Set<Unit>> {
    return (await this.#survey()).kept;
  }

  /** The names of the kept units of one kind. */
  async keptOf(kind: UnitKind): Promise<Set<string>> {
    const kept = [...(await this.kept())];
    return new Set(kept.flatMap((name) => (name.startsWith(`${kind}/`) ? [name.slice(kind.length + 1)] : [])));
  }

  /**
   * Removes built guest images that are not in `current` and that nothing which is there stands on, whether it is
   * in use or not: an image that is made again need not have the same bytes.
   */
  async collectImages(current: ReadonlySet<Unit>): Promise<void> {
    const { directories, log, now = Date.now } = this.#options;
    const { named } = await this.#survey();
    const stoodOn = new Set([...named.values()].flatMap(({ units }) => [...units]));
    for (const entry of (await ifExists(readdir(directories.images))) ?? []) {
      const name = unit("images", entry);
      if (!IMAGE.test(entry) || current.has(name) || stoodOn.has(name)) continue;
      const { mtimeMs } = await stat(this.#pathOf(name));
      if (now() - mtimeMs < UNKNOWN_GRACE_MS) continue; // a build that is under way will name it
      await remove(this.#pathOf(name), "retention.images");
      log.info({ operation: "retention.remove", unit: name });
    }
  }

  /** Which of `names` (of a VMM's builds) are in the record or in a layer of something that is kept. */
  async namesIn(names: ReadonlySet<string>): Promise<Set<string>> {
    const texts = await Promise.all([...(await this.kept())].map((name) => textsIn(this.#pathOf(name))));
    return new Set(texts.flatMap((found) => [...found].filter((text) => names.has(text))));
  }

  /** The paths in one unit that others name or hold: they outlive what the unit itself needs. */
  async neededByOthers(kind: UnitKind, name: string): Promise<Set<string>> {
    const { kept, named, held } = await this.#survey();
    const own = unit(kind, name);
    const others = [...kept].filter((other) => other !== own && named.get(other)?.units.has(own) === true);
    const paths = others.flatMap((other) => [...(named.get(other)?.paths ?? [])]);
    return new Set([...paths, ...held].filter((path) => unitOf(path, this.#options.directories) === own));
  }

  async #survey(): Promise<{ kept: Set<Unit>; named: Map<Unit, Named>; held: string[] }> {
    const { directories, inUse, held: readHeld } = this.#options;
    for (;;) {
      const change = this.#change;
      const named = await this.#readNamed();
      // What changed while files were read may be neither in them nor held any more.
      if (change !== this.#change) continue;
      const references = new Map([...named].map(([name, { units }]) => [name, units]));
      const held = [...readHeld()];
      return { kept: reachable(references, [...inUse(), ...unitsOf(held, directories)]) as Set<Unit>, named, held };
    }
  }

  async #readNamed(): Promise<Map<Unit, Named>> {
    const { directories } = this.#options;
    const present = new Set<Unit>();
    for (const kind of UNIT_KINDS) {
      for (const name of (await ifExists(readdir(directories[kind]))) ?? []) present.add(unit(kind, name));
    }
    for (const known of this.#named.keys()) if (!present.has(known)) this.#named.delete(known);
    const named = new Map<Unit, Named>();
    await Promise.all(
      [...present].map(async (name) => {
        named.set(name, await (this.#named.get(name) ?? this.#read(name)));
      }),
    );
    return named;
  }

  #read(name: Unit): Promise<Named> {
    const reading = this.#namedBy(name);
    this.#named.set(name, reading);
    reading.catch(() => this.#named.delete(name)); // read again when it is asked for again
    return reading;
  }

  async #namedBy(name: Unit): Promise<Named> {
    const { directories } = this.#options;
    const texts = await textsIn(this.#pathOf(name));
    const paths = new Set([...texts].filter((text) => unitOf(text, directories) !== undefined));
    return { paths, units: new Set(unitsOf(paths, directories)) };
  }

  /**
   * Removes the directories of sandboxes and templates that nobody needs, one at a time. One that cannot be removed now
   * keeps none of the others; the next time it is tried again.
   */
  async collect(): Promise<void> {
    const work = this.#collecting.catch(() => undefined).then(() => this.#collect());
    this.#collecting = work;
    await work;
  }

  async #collect(): Promise<void> {
    const removable = await this.#removable();
    await inOrder(
      "Cannot remove all that nobody needs",
      removable.map((name) => async () => await this.#remove(name)),
    );
  }

  async #remove(name: Unit): Promise<void> {
    // Asked again for each: removing takes time.
    if ((await this.kept()).has(name)) return;
    const [kind] = name.split("/") as [UnitKind, string];
    const path = this.#pathOf(name);
    await stopLeftover(join(path, "check", SUPERVISION)); // a template's guest that was being tried
    await remove(path, `retention.${kind}`);
    await flush(this.#options.directories[kind], `retention.${kind}.parent`);
    this.#named.delete(name);
    this.#options.log.info({ operation: "retention.remove", unit: name });
  }

  async #removable(): Promise<Unit[]> {
    const { directories, now = Date.now } = this.#options;
    const kept = await this.kept();
    const removable: Unit[] = [];
    for (const [kind, pattern] of Object.entries(COLLECTED) as [keyof typeof COLLECTED, RegExp][]) {
      for (const entry of (await ifExists(readdir(directories[kind]))) ?? []) {
        const name = unit(kind, entry);
        if (kept.has(name)) continue;
        if (pattern.test(entry)) {
          removable.push(name);
        } else {
          const found = await statIfExists(this.#pathOf(name));
          if (found !== undefined && now() - found.mtimeMs >= UNKNOWN_GRACE_MS) removable.push(name);
        }
      }
    }
    return removable;
  }

  #pathOf(name: Unit): string {
    const [kind, entry] = name.split("/") as [UnitKind, string];
    return join(this.#options.directories[kind], entry);
  }
}
