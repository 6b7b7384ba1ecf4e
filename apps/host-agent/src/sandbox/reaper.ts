/**
 * Ends sandboxes whose time is over: idle for `idleTimeoutSec`, or past `endAt`. One timer, set to the
 * next sandbox that can be due; what is due is looked at again before anything happens to it, and a
 * sandbox with a stream or transfer under way is not idle.
 */
import { setTimeout } from "node:timers/promises";
import type { Logger } from "pino";
import type { SandboxManager, SandboxView } from "./manager.ts";

/** Longest sleep: the clock may be set meanwhile. */
const MAX_SLEEP_MS = 30_000;
const MIN_SLEEP_MS = 20;
/** A sandbox that could not be ended is left alone this long. */
const RETRY_MS = 10_000;

export class Reaper {
  readonly #manager: SandboxManager;
  readonly #log: Logger;
  readonly #ending = new Set<string>();
  #timer: NodeJS.Timeout | undefined;
  readonly #onChange = (): void => this.#schedule();

  constructor(manager: SandboxManager, log: Logger) {
    this.#manager = manager;
    this.#log = log;
  }

  start(): void {
    this.#manager.events.on("changed", this.#onChange);
    this.#schedule();
  }

  stop(): void {
    this.#manager.events.off("changed", this.#onChange);
    clearTimeout(this.#timer);
  }

  #schedule(): void {
    clearTimeout(this.#timer);
    const now = Date.now();
    let next = now + MAX_SLEEP_MS;
    for (const sandbox of this.#manager.list()) {
      if (sandbox.state !== "running" || this.#ending.has(sandbox.id)) continue;
      const dueAt = this.#dueAt(sandbox, now);
      if (dueAt === undefined) continue;
      if (dueAt <= now) void this.#end(sandbox);
      else next = Math.min(next, dueAt);
    }
    this.#timer = globalThis.setTimeout(() => this.#schedule(), Math.max(next - now, MIN_SLEEP_MS));
    this.#timer.unref();
  }

  #dueAt({ id, deadline }: SandboxView, now: number): number | undefined {
    const activity = this.#manager.activity(id);
    if (activity === undefined) return undefined;
    const lastActiveAtMs = activity.inUse ? now : activity.lastActiveAtMs;
    const idleAt = deadline.idleTimeoutSec === undefined ? undefined : lastActiveAtMs + deadline.idleTimeoutSec * 1000;
    const endAt = deadline.endAt === undefined ? undefined : Date.parse(deadline.endAt);
    return idleAt === undefined || endAt === undefined ? (idleAt ?? endAt) : Math.min(idleAt, endAt);
  }

  async #end({ id, incarnation, deadline }: SandboxView): Promise<void> {
    this.#ending.add(id);
    try {
      await this.#manager.settled(id); // an operation under way may be what it is used for
      const now = Date.now();
      const sandbox = this.#manager.get(id);
      const dueAt = sandbox.state === "running" ? this.#dueAt(sandbox, now) : undefined;
      if (dueAt === undefined || dueAt > now) return;
      if (deadline.onTimeout === "pause") await this.#manager.pause(id, incarnation);
      else await this.#manager.destroy(id, incarnation, "its time was over");
    } catch (error) {
      this.#log.warn({ operation: "reap", id, err: error });
      await setTimeout(RETRY_MS, undefined, { ref: false });
    } finally {
      this.#ending.delete(id);
      this.#schedule();
    }
  }
}
