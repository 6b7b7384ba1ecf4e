/**
 * A live QEMU VM: its shim's process and its QMP session.
 */
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { failpoint, flush, remove, writeFileAtomic } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { Pager } from "../../pager/pager.ts";
import type { LayerSummary } from "../../pager/pager-requests.ts";
import type { ShimProcess } from "../shim.ts";
import type { Capture, CaptureTarget, VirtualMachine, VmExit, VmRecord } from "../vmm.ts";
import { joinStreams } from "./migration-stream.ts";
import { DISK_ID, OVERLAY_NODE_PREFIX, overlayNode } from "./arguments.ts";
import { receiveStream } from "./incoming-stream.ts";
import type { QmpClient } from "./qmp.ts";
import { shortenDisk } from "./shorten-disk.ts";

/** Where the microvm machine maps its firmware, and how large it is. */
const FIRMWARE_ADDRESS = 0xffff0000;
const FIRMWARE_BYTES = 64 * 1024;
const CLEANUP_DEADLINE_MS = 10_000;

export class QemuMachine implements VirtualMachine {
  readonly record: VmRecord;
  readonly #process: ShimProcess;
  readonly #qmp: QmpClient;
  readonly #pager: Pager;

  constructor(record: VmRecord, process: ShimProcess, qmp: QmpClient, pager: Pager) {
    this.record = record;
    this.#process = process;
    this.#qmp = qmp;
    this.#pager = pager;
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

  /** It maps its image; the kernel alone serves its faults. */
  async servedPages(): Promise<undefined> {
    return undefined;
  }

  async saveWorkingSet(): Promise<false> {
    return false;
  }

  async capture(target: CaptureTarget, signal: AbortSignal): Promise<Capture> {
    return this.record.origin === "booted"
      ? await this.#captureBooted(target.statePath, signal)
      : await this.#captureRestored(target, signal);
  }

  /** Every capture is compared with its parent, so that nothing hangs on the one before. */
  async captureCommitted(): Promise<void> {}

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
    return { stateBytes: state.length, layer: undefined };
  }

  /**
   * `migrate` would send all memory of a private mapping: device state by xen-save-devices-state (no
   * Xen needed), changed pages from outside.
   */
  async #captureRestored(target: CaptureTarget, signal: AbortSignal): Promise<Capture> {
    // In either order; at once, for the guest is stopped meanwhile.
    const [stateBytes, layer] = await Promise.all([this.#saveDevices(target, signal), this.#diff(target, signal)]);
    return { stateBytes, layer };
  }

  async #diff({ buildId, memoryPath, headerPath, parent }: CaptureTarget, signal: AbortSignal): Promise<LayerSummary> {
    if (parent === undefined)
      throw new WrennError("internal", `Cannot capture ${this.record.name}: its parent layer is unknown`);
    return await this.#pager.diff(
      { buildId, memory: memoryPath, header: headerPath },
      { pid: this.pid, image: this.record.memoryPath, parent: parent.layers },
      signal,
    );
  }

  /** @returns the bytes of device state */
  async #saveDevices({ statePath }: CaptureTarget, signal: AbortSignal): Promise<number> {
    const basePath = this.record.statePath;
    if (basePath === undefined)
      throw new WrennError("internal", `Cannot capture ${this.record.name}: its base state is unknown`);
    const devicesPath = join(this.record.directory, "devices.state");
    const firmwarePath = join(this.record.directory, "firmware");
    try {
      failpoint("capture.devices");
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
      await writeFileAtomic(statePath, state, { mode: 0o444, name: "capture.state", durable: false });
      return state.length;
    } finally {
      await Promise.all([remove(devicesPath, "capture.scratch"), remove(firmwarePath, "capture.scratch")]);
    }
  }

  async switchDisk(overlay: { path: string }, signal: AbortSignal): Promise<void> {
    const nodeName = `${OVERLAY_NODE_PREFIX}${randomUUID().slice(0, 8)}`;
    failpoint("disk.switch");
    await this.#qmp.execute("blockdev-add", overlayNode(nodeName, overlay.path), signal);
    try {
      await this.#qmp.execute("blockdev-snapshot", { node: DISK_ID, overlay: nodeName }, signal);
    } catch (error) {
      const cleanup = AbortSignal.timeout(CLEANUP_DEADLINE_MS);
      await this.#qmp.execute("blockdev-del", { "node-name": nodeName }, cleanup).catch(() => undefined);
      throw error;
    }
    this.record.diskPath = overlay.path;
  }

  async shortenDisk(base: string, signal: AbortSignal): Promise<boolean> {
    failpoint("disk.shorten");
    return await shortenDisk(this.#qmp, base, signal);
  }

  async currentDiskPath(signal: AbortSignal): Promise<string> {
    const devices = (await this.#qmp.execute("query-block", {}, signal)) as {
      device: string;
      inserted?: { image: { filename: string } };
    }[];
    const path = devices.find(({ device }) => device === DISK_ID)?.inserted?.image.filename;
    if (path === undefined) throw new WrennError("internal", `Cannot find the disk of ${this.record.name}`);
    return path;
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
