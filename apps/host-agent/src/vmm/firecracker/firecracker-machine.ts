/** A live Firecracker VM: its shim's process and its API. */
import { chmod, chown, readFile } from "node:fs/promises";
import { join } from "node:path";
import { flush, remove, rename, statIfExists, writeFileAtomic } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { Pager } from "../../pager/pager.ts";
import type { ServedPages } from "../../pager/pager-requests.ts";
import type { ShimProcess } from "../shim.ts";
import type { Capture, CaptureTarget, VirtualMachine, VmExit, VmRecord } from "../vmm.ts";
import type { FirecrackerApi } from "./api.ts";

export class FirecrackerMachine implements VirtualMachine {
  readonly record: VmRecord;
  readonly #process: ShimProcess;
  readonly #api: FirecrackerApi;
  readonly #pager: Pager;
  /** A session is the pager's until somebody deletes it; it has ended with its VM. Never rejects. */
  readonly #sessionClosed: Promise<void>;

  constructor(record: VmRecord, process: ShimProcess, api: FirecrackerApi, pager: Pager) {
    this.record = record;
    this.#process = process;
    this.#api = api;
    this.#pager = pager;
    this.#sessionClosed = process.exited.then(() => pager.closeSession(record.name)).catch(() => undefined);
  }

  get pid(): number {
    return this.#process.pid;
  }

  get exited(): Promise<VmExit> {
    return this.#process.exited;
  }

  async pause(signal: AbortSignal): Promise<void> {
    await this.#api.vmState("Paused", signal);
  }

  async resume(signal: AbortSignal): Promise<void> {
    await this.#api.vmState("Resumed", signal);
  }

  /**
   * Firecracker writes into its own directory. Its log of dirty pages starts anew with each snapshot, whatever becomes
   * of that: after one that did not become a layer, for a reason or by the agent's death, all of the memory is written.
   */
  async capture(target: CaptureTarget, signal: AbortSignal): Promise<Capture> {
    const { directory, origin, memoryPath: image } = this.record;
    const statePath = join(directory, "state");
    const pagesPath = join(directory, "pages");
    await remove(statePath, "capture.scratch");
    await remove(pagesPath, "capture.scratch");
    const isLogWhole = (await statIfExists(this.#uncommittedPath)) === undefined;
    try {
      await writeFileAtomic(this.#uncommittedPath, "", { name: "capture.uncommitted", durable: false });
      await this.#api.createSnapshot(
        {
          snapshot_path: statePath,
          mem_file_path: origin === "booted" ? image : pagesPath,
          // Of a VM that was booted, what was never touched is zeros: its first difference is all of its memory.
          snapshot_type: origin === "booted" || isLogWhole ? "Diff" : "Full",
        },
        signal,
      );
      const state = await readFile(statePath);
      await writeFileAtomic(target.statePath, state, { mode: 0o444, name: "capture.state", durable: false });
      const layer = origin === "booted" ? undefined : await this.#seal(pagesPath, target, signal);
      return { stateBytes: state.length, layer };
    } finally {
      await remove(statePath, "capture.scratch");
      await remove(pagesPath, "capture.scratch");
    }
  }

  async captureCommitted(): Promise<void> {
    await remove(this.#uncommittedPath, "capture.committed").catch(() => undefined);
  }

  /** A file that is there while the last snapshot has not become a layer. It ends with the VM's directory, as the VM does. */
  get #uncommittedPath(): string {
    return join(this.record.directory, "uncommitted");
  }

  async #seal(pagesPath: string, target: CaptureTarget, signal: AbortSignal): Promise<Capture["layer"]> {
    const { buildId, memoryPath, headerPath, parent } = target;
    if (parent === undefined) throw new WrennError("internal", `Cannot capture ${this.record.name}: it has no parent`);
    await rename(pagesPath, memoryPath, "capture.memory");
    // The VMM's user has no business in a layer.
    await chown(memoryPath, 0, 0);
    await chmod(memoryPath, 0o444);
    const layer = { buildId, memory: memoryPath, header: headerPath };
    return await this.#pager.seal(layer, { parent: parent.layers.header }, signal);
  }

  async servedPages(signal: AbortSignal): Promise<ServedPages | undefined> {
    const { isPaged, name } = this.record;
    return isPaged === true ? await this.#pager.servedPages(name, signal) : undefined;
  }

  async saveWorkingSet(path: string, signal: AbortSignal): Promise<boolean> {
    const { isPaged, name } = this.record;
    if (isPaged === true) await this.#pager.saveWorkingSet(name, path, signal);
    return isPaged === true;
  }

  async switchDisk(): Promise<void> {
    throw new WrennError("unsupported", `Cannot switch the disk of ${this.record.name}: Firecracker cannot do that`, {
      hint: "Pause the sandbox, and make a template of what was paused",
    });
  }

  /** Its disk is never switched, so nothing lies between. */
  async shortenDisk(): Promise<boolean> {
    return false;
  }

  async currentDiskPath(signal: AbortSignal): Promise<string> {
    signal.throwIfAborted();
    return this.record.diskPath;
  }

  async flushDisk(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await flush(this.record.diskPath, "disk.flush");
  }

  async stop(): Promise<VmExit> {
    this.#api.close();
    const exit = await this.#process.stop();
    await this.#sessionClosed; // the next VM of its name has a session of that name
    return exit;
  }

  detach(): void {
    this.#api.close();
    this.#process.detach();
  }
}
