/** One sandbox in the host agent's memory: its durable record with what only lives as long as this process. */
import type { GuestManifest } from "@wrenn/guest";
import { WrennError } from "@wrenn/errors";
import type { Logger } from "pino";
import type { Reserves } from "./admission.ts";
import type { Pager } from "../pager/pager.ts";
import type { Retention } from "../retention/retention.ts";
import type { LayerLeases } from "../snapshot/layer-leases.ts";
import type { TemplateBuilds } from "../template/template-builds.ts";
import type { GoldenStore } from "./golden-store.ts";
import type { LifecycleOptions, LiveGuest } from "./lifecycle.ts";
import type { Slot } from "../network/network.ts";
import type { Deadline, RecordStore, Resources, SandboxRecord } from "./record.ts";
import type { Shortening } from "./shorten-disk.ts";
import type { Stage } from "./stages.ts";

export interface ManagerOptions extends Omit<LifecycleOptions, "defaultUserOf"> {
  stateDirectory: string;
  manifest: GuestManifest;
  golden: GoldenStore;
  records: RecordStore;
  pager: Pager;
  leases: LayerLeases;
  builds: TemplateBuilds;
  retention: Retention;
  /** From this generation on the layers of a sandbox are joined behind it. */
  collapseGenerations: number;
  log: Logger;
  /** How often running guests are asked whether they are there. */
  healthIntervalMs: number;
  reserves: Reserves;
}

export interface CreateRequest {
  id: string;
  incarnation: number;
  templateBuildId: string;
  resources: Resources;
  deadline: Deadline;
  envs: Record<string, string>;
  accessToken: string;
}

/** Whether a running guest answers: `busy` does not, but is at work; `unresponsive` does neither. */
export type Health = "responsive" | "busy" | "unresponsive";

/** A sandbox as others see it. */
export type SandboxView = Readonly<SandboxRecord & { health: Health }>;

/** The live parts of a running sandbox, for those who measure. */
export interface RunningSandbox {
  id: string;
  /** Process id of the VMM. */
  pid: number;
  slot: Slot;
  diskPath: string;
  /** Streams and transfers under way. */
  uses: number;
  health: Health;
}

/** What an operation answers. */
export interface OperationResult {
  sandbox: SandboxView;
  stages: Stage[];
}

export interface Entry {
  record: SandboxRecord;
  guest: LiveGuest | undefined;
  /** Streams and transfers under way; while there are any the sandbox is active. */
  uses: number;
  lastActiveAtMs: number;
  health: Health;
  /** Aborted by destroy: ends the operation that holds the lock. */
  abandon: AbortController;
  creation: Promise<Stage[]> | undefined;
  /** The files that a collapse or flatten behind it writes; settles when it writes no more, never rejects. */
  rewriting: Promise<void> | undefined;
  /** The running VM's disk is brought onto its template's. */
  shortening: Shortening | undefined;
}

export function newEntry(record: SandboxRecord): Entry {
  return {
    record,
    guest: undefined,
    uses: 0,
    lastActiveAtMs: Date.parse(record.lastActiveAt),
    health: "responsive",
    abandon: new AbortController(),
    creation: undefined,
    rewriting: undefined,
    shortening: undefined,
  };
}

export function recordOf(request: CreateRequest, goldenKey: string | undefined): SandboxRecord {
  const now = new Date().toISOString();
  return {
    version: 1,
    ...request,
    state: "creating",
    createdAt: now,
    lastActiveAt: now,
    reason: undefined,
    goldenKey,
    slotIndex: undefined,
    vm: undefined,
    disk: undefined,
    layer: undefined,
    pendingLayer: undefined,
  };
}

export function viewOf(entry: Entry): SandboxView {
  return { ...entry.record, health: entry.health, lastActiveAt: new Date(entry.lastActiveAtMs).toISOString() };
}

/** Notes that a sandbox is used now. */
export function touch(entry: Entry): void {
  entry.lastActiveAtMs = Date.now();
}

export function assertIncarnation({ record }: Entry, incarnation: number): void {
  if (record.incarnation !== incarnation) throw staleIncarnation(record, incarnation);
}

export function staleIncarnation({ id, incarnation }: SandboxRecord, given: number): WrennError {
  return new WrennError("stale_incarnation", `The sandbox ${id} is at incarnation ${incarnation}, not ${given}`);
}

/** @throws WrennError `invalid_state` unless the guest is served */
export function assertRunning({ record, guest }: Entry): LiveGuest {
  if (record.state === "running" && guest !== undefined) return guest;
  const hint = record.state === "paused" ? "Resume it first" : undefined;
  throw new WrennError(
    "invalid_state",
    `The sandbox ${record.id} is ${record.state}, not running`,
    hint === undefined ? {} : { hint },
  );
}

/** The operation's error, or that the sandbox is being destroyed when that is what ended it. */
export function abandoned(entry: Entry, error: unknown): unknown {
  return entry.abandon.signal.aborted ? entry.abandon.signal.reason : error;
}
