/**
 * The pool of slots. Some are kept ready, so that `acquire` only writes a record; the next ones are
 * made behind it. Slots that were recorded before this process started wait until somebody adopts
 * or sweeps them.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/errors";
import pLimit from "p-limit";
import type { Logger } from "pino";
import { DEFAULT_RANGES, LAST_INDEX, planSlot, resolverAlias, type AddressRanges, type SlotPlan } from "./addresses.ts";
import { HostNetwork } from "./host-network.ts";
import { joinErrors } from "../joined-errors.ts";
import { DEFAULT_LIMITS, type SlotLimits } from "./limits.ts";
import type { NetworkPool, Slot, SlotCounters } from "./network.ts";
import { ResolverChoice } from "./resolver-choice.ts";
import { usableResolvers } from "./resolvers.ts";
import { readRoutes } from "./routes.ts";
import { missingParts } from "./slot-inspection.ts";
import { SlotRecords } from "./slot-records.ts";
import { clashOf, makeSlot, takeSlotDown } from "./slot-steps.ts";
import { watch } from "./watch.ts";

/** How a pool is made; the names in brackets are the variables of the configuration. */
export interface NetworkPoolOptions {
  /** Records go to `slots/` below it (`WRENN_DIR`). */
  stateDirectory: string;
  /** First slot index (`WRENN_SLOT_FIRST`); platforms on one machine need ranges apart. */
  firstIndex: number;
  /** How many slots there may be (`WRENN_SLOT_COUNT`). */
  count: number;
  /** How many are kept ready (`WRENN_SLOT_READY`). */
  readyCount: number;
  /** Slot N's user id is this plus N (`WRENN_UID_FIRST`). */
  uidFirst: number;
  /** Resolvers for the guests, best first (`WRENN_DNS`, else `discoverResolvers()`). */
  resolvers: readonly string[];
  /** With several resolvers: how often it is checked that the one in use answers; 30 s unless told. */
  resolverCheckMs?: number;
  /** Interface towards the internet; that of the default route unless told. */
  uplink?: string;
  ranges?: AddressRanges;
  limits?: Partial<SlotLimits>;
  logger: Pick<Logger, "debug" | "info" | "warn" | "error">;
}

/**
 * Installs the host's table and starts filling the pool.
 * @throws WrennError `needs_root`, `missing_requirement` (nft, ip), `invalid_request` (range)
 */
export async function createNetworkPool(options: NetworkPoolOptions): Promise<NetworkPool> {
  const { firstIndex, count, ranges = DEFAULT_RANGES, uplink, logger } = options;
  if (process.getuid?.() !== 0) throw new WrennError("needs_root", "Cannot make network slots: not root");
  if (firstIndex < 1 || count < 1 || firstIndex + count - 1 > LAST_INDEX) {
    throw new WrennError(
      "invalid_request",
      `Cannot use network slots ${firstIndex} to ${firstIndex + count - 1}: they go from 1 to ${LAST_INDEX}`,
    );
  }
  const records = new SlotRecords(join(options.stateDirectory, "slots"));
  const recorded = await records.load();
  const host = new HostNetwork({ firstIndex, count, ranges, uplink, logger });
  const resolvers = usableResolvers(options.resolvers);
  if (resolvers.length === 0) logger.warn({ resolvers: options.resolvers }, "no usable resolver: guests have no DNS");
  const choice = new ResolverChoice(resolvers, options.resolverCheckMs);
  await host.refresh(await choice.choose());
  choice.watch(async (resolver) => host.refresh(resolver));
  const watches = [
    // not all events at once: `nft monitor` 1.0.6 dies of the removal of a ct timeout object
    watch(["nft", "monitor", "chains"], async () => host.repair(), logger),
    watch(["nft", "monitor", "rules"], async () => host.repair(), logger),
    watch(
      ["ip", "monitor", "route", "netconf"],
      async () => host.refresh().then(async () => host.keepForwarding()),
      logger,
    ),
  ];
  const stopFollowing = async () => {
    choice.stop();
    await Promise.all(watches.map(async (stop) => stop()));
  };
  const pool = new Pool(
    options,
    records,
    host,
    stopFollowing,
    new Map(recorded.map(({ index, owner }) => [index, owner])),
  );
  pool.fill();
  return pool;
}

/** At most this many slots are made, and taken down, at once: more only wait for the kernel's one lock on links. */
const MAKING_AT_ONCE = 2;
const REMOVING_AT_ONCE = 4;

/** Slots that were taken are made up when none was taken or given back for this long. */
const RUSH_MS = 1_000;

/** After a failure the pool rests this long. */
const RETRY_MS = 5_000;

interface Waiter {
  resolve(slot: SlotPlan): void;
  reject(error: unknown): void;
}

class Pool implements NetworkPool {
  readonly #options: NetworkPoolOptions;
  readonly #ranges: AddressRanges;
  readonly #limits: SlotLimits;
  readonly #records: SlotRecords;
  readonly #host: HostNetwork;
  readonly #stopFollowing: () => Promise<void>;
  /** Recorded by an earlier process; their owners, null for a slot that nobody had. */
  readonly #leftovers: Map<number, string | null>;
  /** Indices that this process made, is making or has adopted. */
  readonly #taken = new Set<number>();
  readonly #owned = new Map<number, { slot: SlotPlan; owner: string; releasing?: Promise<void> }>();
  readonly #ready: SlotPlan[] = [];
  readonly #waiters: Waiter[] = [];
  readonly #making = new Set<Promise<void>>();
  readonly #removing = pLimit(REMOVING_AT_ONCE);
  /** Indices that cannot be used now, and why. */
  readonly #clashes = new Map<number, string>();
  #lastIndex: number;
  #retry: NodeJS.Timeout | undefined;
  #rush: NodeJS.Timeout | undefined;
  #closed = false;

  constructor(
    options: NetworkPoolOptions,
    records: SlotRecords,
    host: HostNetwork,
    stopFollowing: () => Promise<void>,
    leftovers: Map<number, string | null>,
  ) {
    this.#options = options;
    this.#ranges = options.ranges ?? DEFAULT_RANGES;
    this.#limits = { ...DEFAULT_LIMITS, ...options.limits };
    this.#records = records;
    this.#host = host;
    this.#stopFollowing = stopFollowing;
    this.#leftovers = leftovers;
    this.#lastIndex = options.firstIndex - 1;
  }

  async acquire(owner: string, signal: AbortSignal): Promise<Slot> {
    signal.throwIfAborted();
    if (this.#closed) throw new WrennError("unavailable", "Cannot take a network slot: the host agent is stopping");
    const slot = this.#ready.shift() ?? (await this.#wait(signal));
    try {
      await this.#records.write({ index: slot.index, owner });
    } catch (error) {
      this.#ready.push(slot);
      throw error;
    }
    this.#owned.set(slot.index, { slot, owner });
    this.#fillInTime();
    return slot;
  }

  async adopt(owner: string, index: number): Promise<Slot | undefined> {
    const held = this.#owned.get(index);
    if (held?.owner === owner) return held.slot;
    if (this.#leftovers.get(index) !== owner) return undefined;
    const slot = this.#plan(index);
    const missing = await missingParts(slot, this.#options.firstIndex);
    if (missing.length > 0) {
      this.#options.logger.warn({ owner, index, missing }, "cannot adopt a network slot: it is not whole");
      return undefined;
    }
    this.#leftovers.delete(index);
    this.#taken.add(index);
    this.#owned.set(index, { slot, owner });
    return slot;
  }

  async release(slot: Slot): Promise<void> {
    const held = this.#owned.get(slot.index);
    // another object of the same index: its slot is gone, and this index belongs to somebody else by now
    if (held?.slot !== slot) return;
    held.releasing ??= this.#takeDown(held.slot).then(
      async () => {
        this.#owned.delete(slot.index);
        this.#fillInTime();
        await this.#removeHostWhenEmpty();
      },
      (error: unknown) => {
        delete held.releasing;
        throw error;
      },
    );
    await held.releasing;
  }

  async counters(slot: Slot): Promise<SlotCounters> {
    const statistics = `/sys/class/net/${this.#plan(slot.index).vethName}/statistics`;
    // what the host's end sends is what the guest receives
    const [received, sent] = await Promise.all([
      readFile(`${statistics}/tx_bytes`, "utf8"),
      readFile(`${statistics}/rx_bytes`, "utf8"),
    ]);
    return { receivedBytes: Number(received), sentBytes: Number(sent) };
  }

  async sweep(owners: ReadonlySet<string>): Promise<void> {
    const dead = [...this.#leftovers].filter(([, owner]) => owner === null || !owners.has(owner));
    const results = await Promise.allSettled(
      dead.map(async ([index, owner]) => {
        await this.#takeDown(this.#plan(index));
        this.#options.logger.info({ index, owner }, "removed a network slot that a crash left");
      }),
    );
    this.fill();
    throwFailures("Cannot remove all network slots that a crash left", results);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#retry);
    clearTimeout(this.#rush);
    for (const waiter of this.#waiters.splice(0))
      waiter.reject(new WrennError("unavailable", "Cannot take a network slot: the host agent is stopping"));
    await Promise.all(this.#making);
    const unowned = [...this.#leftovers].flatMap(([index, owner]) => (owner === null ? [this.#plan(index)] : []));
    const results = await Promise.allSettled(
      [...this.#ready.splice(0), ...unowned].map(async (slot) => this.#takeDown(slot)),
    );
    results.push(...(await Promise.allSettled([this.#stopFollowing().then(async () => this.#removeHostWhenEmpty())])));
    throwFailures("Cannot take down the ready network slots", results);
  }

  /** Starts making slots until as many are ready, or on their way, as are wanted. */
  fill(): void {
    while (
      !this.#closed &&
      this.#making.size < MAKING_AT_ONCE &&
      this.#ready.length + this.#making.size < this.#wanted()
    ) {
      const slot = this.#nextFree();
      if (slot === undefined) {
        const error = this.#capacityError();
        for (const waiter of this.#waiters.splice(this.#making.size)) waiter.reject(error);
        return;
      }
      this.#taken.add(slot.index);
      const making = this.#make(slot).finally(() => {
        this.#making.delete(making);
        this.fill();
      });
      this.#making.add(making);
    }
  }

  /** Making a slot takes processor time from the guests that are being started: while there are enough, it waits. */
  #fillInTime(): void {
    clearTimeout(this.#rush);
    if (this.#ready.length > this.#options.readyCount / 2) this.#rush = setTimeout(() => this.fill(), RUSH_MS).unref();
    else this.fill();
  }

  #wanted(): number {
    return this.#waiters.length + (this.#retry === undefined ? this.#options.readyCount : 0);
  }

  async #make(slot: SlotPlan): Promise<void> {
    try {
      await this.#host.refresh();
      const rules = {
        closed: this.#host.closed(),
        limits: this.#limits,
        resolverAlias: resolverAlias(this.#ranges),
      };
      await makeSlot(slot, { records: this.#records, firstIndex: this.#options.firstIndex }, rules);
    } catch (error) {
      // what could not be undone keeps its record and waits for a sweep
      if (await this.#records.has(slot.index)) this.#leftovers.set(slot.index, null);
      this.#taken.delete(slot.index);
      this.#rest(error);
      this.#waiters.shift()?.reject(error);
      return;
    }
    const waiter = this.#waiters.shift();
    if (waiter === undefined) this.#ready.push(slot);
    else waiter.resolve(slot);
  }

  /** After a failure only slots that somebody waits for are made, for a while. */
  #rest(error: unknown): void {
    this.#options.logger.error({ err: error }, "cannot make a network slot");
    this.#retry ??= setTimeout(() => {
      this.#retry = undefined;
      this.fill();
    }, RETRY_MS).unref();
  }

  async #wait(signal: AbortSignal): Promise<SlotPlan> {
    const { promise, resolve, reject } = Promise.withResolvers<SlotPlan>();
    const waiter = { resolve, reject };
    const abandon = () => {
      const place = this.#waiters.indexOf(waiter);
      if (place >= 0) this.#waiters.splice(place, 1);
      reject(new WrennError("canceled", "Stopped waiting for a network slot", { cause: signal.reason }));
    };
    signal.addEventListener("abort", abandon, { once: true });
    this.#waiters.push(waiter);
    this.fill();
    try {
      return await promise;
    } finally {
      signal.removeEventListener("abort", abandon);
    }
  }

  /** The next index that nothing of ours, and nothing foreign, uses; they go round, so that one rests before it is used again. */
  #nextFree(): SlotPlan | undefined {
    const { firstIndex, count } = this.#options;
    const routes = readRoutes();
    for (let step = 0; step < count; step++) {
      const index = firstIndex + ((this.#lastIndex + 1 + step - firstIndex) % count);
      if (this.#taken.has(index) || this.#leftovers.has(index)) continue;
      const slot = this.#plan(index);
      const clash = clashOf(slot, routes);
      if (clash === undefined) {
        this.#lastIndex = index;
        this.#clashes.delete(index);
        return slot;
      }
      if (!this.#clashes.has(index))
        this.#options.logger.warn({ index, clash }, "skipping a network slot: somebody else uses what it needs");
      this.#clashes.set(index, clash);
    }
    return undefined;
  }

  #capacityError(): WrennError {
    const { firstIndex, count } = this.#options;
    const example = [...this.#clashes][0];
    const clashes =
      example === undefined ? "" : `; ${this.#clashes.size} cannot be used, slot ${example[0]} because ${example[1]}`;
    return new WrennError(
      "capacity",
      `Cannot take a network slot: none of ${firstIndex} to ${firstIndex + count - 1} is free${clashes}`,
      {
        hint: "Destroy sandboxes, or give the platform other slots with WRENN_SLOT_FIRST and WRENN_SLOT_COUNT",
      },
    );
  }

  async #takeDown(slot: SlotPlan): Promise<void> {
    const context = { records: this.#records, firstIndex: this.#options.firstIndex };
    await this.#removing(async () => takeSlotDown(slot, context));
    this.#taken.delete(slot.index);
    this.#leftovers.delete(slot.index);
  }

  async #removeHostWhenEmpty(): Promise<void> {
    if (this.#closed && this.#taken.size === 0 && this.#leftovers.size === 0) await this.#host.remove();
  }

  #plan(index: number): SlotPlan {
    return planSlot(index, this.#options.uidFirst, this.#ranges);
  }
}

function throwFailures(message: string, results: readonly PromiseSettledResult<void>[]): void {
  const errors = results.flatMap((result) => (result.status === "rejected" ? [result.reason as unknown] : []));
  if (errors.length > 0) throw joinErrors(message, errors);
}
