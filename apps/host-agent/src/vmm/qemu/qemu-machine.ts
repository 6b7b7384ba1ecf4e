/**
 * A live QEMU VM: its shim's process and its QMP session.
 */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { flush, remove, writeFileAtomic } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { ShimProcess } from "../shim.ts";
import type { Capture, VirtualMachine, VmExit, VmRecord } from "../vmm.ts";
import { joinStreams } from "./migration-stream.ts";
import { saveChangedPages } from "./process-memory.ts";
import { receiveStream } from "./incoming-stream.ts";
import type { QmpClient } from "./qmp.ts";

/** Where the microvm machine maps its firmware, and how large it is. */
const FIRMWARE_ADDRESS = 0xffff0000;
const FIRMWARE_BYTES = 64 * 1024;

export class QemuMachine implements VirtualMachine {
  readonly record: VmRecord;
  readonly #process: ShimProcess;
  readonly #qmp: QmpClient;

  constructor(record: VmRecord, process: ShimProcess, qmp: QmpClient) {
    this.record = record;
    this.#process = process;
    this.#qmp = qmp;
  }

  get pid(): number {
    return this.#process.pid;
  }

  get exited(): Promise<VmExit> {
    return this.#process.exited;
  }

  async pause(signal: AbortSignal): Promise<void> {
    await this.#qmp.execute("stop", {}, signal);
  }

  async resume(signal: AbortSignal): Promise<void> {
    await this.#qmp.execute("cont", {}, signal);
  }

  async capture(target: { statePath: string; memoryPath: string }, signal: AbortSignal): Promise<Capture> {
    return this.record.origin === "booted"
      ? await this.#captureBooted(target.statePath, signal)
      : await this.#captureRestored(target, signal);
  }

  /** The memory image is complete already; `migrate` with x-ignore-shared leaves it out. */
  async #captureBooted(statePath: string, signal: AbortSignal): Promise<Capture> {
    await this.#qmp.execute(
      "migrate-set-capabilities",
      { capabilities: [{ capability: "x-ignore-shared", state: true }] },
      signal,
    );
    const state = await receiveStream(
      join(this.record.directory, "state.sock"),
      async (uri) => {
        await this.#qmp.execute("migrate", { uri }, signal);
      },
      signal,
    );
    await writeFileAtomic(statePath, state, { mode: 0o444, name: "capture.state" });
    await flush(this.record.memoryPath, "capture.memory");
    return { stateBytes: state.length, runs: undefined };
  }

  /**
   * `migrate` would send all memory of a private mapping: device state by xen-save-devices-state (no
   * Xen needed), changed pages from outside.
   */
  async #captureRestored(target: { statePath: string; memoryPath: string }, signal: AbortSignal): Promise<Capture> {
    const basePath = this.record.statePath;
    if (basePath === undefined)
      throw new WrennError("internal", `Cannot capture ${this.record.name}: its base state is unknown`);
    const devicesPath = join(this.record.directory, "devices.state");
    const firmwarePath = join(this.record.directory, "firmware");
    try {
      // live:false: the default may take the disks away from the VM, which may go on.
      await this.#qmp.execute("xen-save-devices-state", { filename: devicesPath, live: false }, signal);
      await this.#qmp.execute(
        "pmemsave",
        { val: FIRMWARE_ADDRESS, size: FIRMWARE_BYTES, filename: firmwarePath },
        signal,
      );
      const [base, devices, firmware] = await Promise.all([
        readFile(basePath),
        readFile(devicesPath),
        readFile(firmwarePath),
      ]);
      const state = joinStreams(base, devices, firmware);
      const runs = await saveChangedPages(this.pid, this.record.memoryPath, target.memoryPath, signal);
      await writeFileAtomic(target.statePath, state, { mode: 0o444, name: "capture.state" });
      return { stateBytes: state.length, runs };
    } finally {
      await Promise.all([remove(devicesPath, "capture.scratch"), remove(firmwarePath, "capture.scratch")]);
    }
  }

  async flushDisk(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    await flush(this.record.diskPath, "disk.flush");
  }

  async stop(): Promise<VmExit> {
    this.#qmp.close();
    return await this.#process.stop();
  }
  detach(): void {
    this.#qmp.close();
    this.#process.detach();
  }
}
