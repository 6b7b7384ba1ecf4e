/**
 * The byte work of memory layers, done by the host's pager (crates/pager). A request that had not begun
 * when the pager died is asked again of its successor; one that had fails, and its caller undoes or
 * repeats the whole operation.
 */
import { failpoint } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { PagerProcess, type PagerProcessOptions } from "./pager-process.ts";
import {
  injectionOf,
  servedPagesOf,
  sessionBody,
  summaryOf,
  targetBody,
  type Injection,
  type LayerSummary,
  type LayerTarget,
  type MemoryFiles,
  type MemorySession,
  type PagerHealth,
  type ServedPages,
} from "./pager-requests.ts";
import { askPager, PagerGone, PagerRefusal } from "./pager-socket.ts";

/** How often a request is asked of a new pager. */
const ATTEMPTS = 3;
const SESSION_END_DEADLINE_MS = 10_000;

export class Pager {
  readonly #process: PagerProcess;

  private constructor(process: PagerProcess) {
    this.#process = process;
  }

  /** Finds the pager of this host or starts it. */
  static async open(options: PagerProcessOptions, signal: AbortSignal): Promise<Pager> {
    const process = new PagerProcess(options);
    await process.open(signal);
    return new Pager(process);
  }

  get health(): PagerHealth {
    return this.#process.health;
  }

  /** Lets go of the pager; one that serves nobody ends. */
  async close(): Promise<void> {
    await this.#process.close();
  }

  /** Makes a layer of what a stopped process changed since `parent`, one of whose builds is `image`. */
  async diff(
    target: LayerTarget,
    from: { pid: number; image: string; parent: MemoryFiles },
    signal: AbortSignal,
  ): Promise<LayerSummary> {
    return summaryOf(await this.#post("diff", { layer: targetBody(target), ...from }, signal));
  }

  /** Makes the memory of a stopped process, which maps `image` privately, that of `layers`. */
  async inject(into: { pid: number; image: string; layers: MemoryFiles }, signal: AbortSignal): Promise<Injection> {
    return injectionOf(await this.#post("inject", into, signal));
  }

  /** Makes a layer of a sparse memory file that is in its place; holes inherit from `parent`'s header. */
  async seal(
    target: LayerTarget,
    from: { parent?: string; session?: string },
    signal: AbortSignal,
  ): Promise<LayerSummary> {
    return summaryOf(await this.#post("seal", { layer: targetBody(target), ...from }, signal));
  }

  /** Joins all layers over the base into one. */
  async collapse(target: LayerTarget, layers: MemoryFiles, signal: AbortSignal): Promise<LayerSummary> {
    return summaryOf(await this.#post("collapse", { layer: targetBody(target), layers }, signal));
  }

  /** Joins the base and all layers into a whole memory. */
  async flatten(target: LayerTarget, layers: MemoryFiles, signal: AbortSignal): Promise<LayerSummary> {
    return summaryOf(await this.#post("flatten", { layer: targetBody(target), layers }, signal));
  }

  /**
   * Reads a layer's own memory file.
   * @throws WrennError `incompatible_snapshot` when it is not what its header and `checksum` say
   */
  async verify(
    layer: { header: string; memory: string; checksum?: string },
    signal: AbortSignal,
  ): Promise<LayerSummary> {
    return summaryOf(await this.#post("verify", layer, signal));
  }

  /**
   * Serves the memory of a VM that is about to be restored: settles when its VMM may connect to the socket.
   * A VM that cannot be served any more is killed.
   */
  async openSession(session: MemorySession, signal: AbortSignal): Promise<void> {
    // One of its name that is left is of a VM that ended while no agent looked.
    await this.closeSession(session.id);
    await this.#ask("POST", "/v1/sessions", sessionBody(session), signal);
  }

  /** What the pages of a session's VM were until now. */
  async servedPages(id: string, signal: AbortSignal): Promise<ServedPages> {
    return servedPagesOf(await this.#ask("GET", `/v1/sessions/${id}`, undefined, signal));
  }

  /**
   * Writes to `path`, whole or not at all, which pages a session's VM is to be given ahead the next time: those that it
   * waited for, and most of what it was given ahead. Not flushed.
   */
  async saveWorkingSet(id: string, path: string, signal: AbortSignal): Promise<void> {
    failpoint("pager.working-set");
    await this.#ask("POST", `/v1/sessions/${id}/working-set`, { path, durable: false }, signal);
  }

  /** Forgets a session, and ends its VMM if it lives; a missing one is success. Runs on its own deadline. */
  async closeSession(id: string): Promise<void> {
    try {
      await this.#ask("DELETE", `/v1/sessions/${id}`, undefined, AbortSignal.timeout(SESSION_END_DEADLINE_MS));
    } catch (error) {
      if (!(error instanceof Error && error.cause instanceof PagerRefusal && error.cause.code === "not_found"))
        throw error;
    }
  }

  async #ask(method: "GET" | "POST" | "DELETE", path: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    return await askPager(this.#process.socketPath, method, path, body, signal);
  }

  async #post(what: string, body: unknown, signal: AbortSignal): Promise<unknown> {
    failpoint(`pager.${what}`);
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#ask("POST", `/v1/layers/${what}`, body, signal);
      } catch (error) {
        if (!(error instanceof PagerGone)) throw error;
        if (attempt === ATTEMPTS)
          throw new WrennError("internal", `Cannot ${what}: ${error.message}`, { cause: error });
        await this.#process.replaced(signal);
      }
    }
  }
}
