/**
 * Firecracker's HTTP API on its Unix socket. Shapes and order: its API description
 * (src/firecracker/swagger/firecracker.yaml), version 1.16. Requests are served one at a time by the thread
 * that also runs the devices; one that hangs never answers, so each has a deadline of ours.
 */
import { Client } from "undici";
import { WrennError } from "@wrenn/errors";

const REQUEST_DEADLINE_MS = 10_000;
/** It writes and flushes memory and disk. */
const SNAPSHOT_DEADLINE_MS = 120_000;

export interface BootSource {
  kernel_image_path: string;
  initrd_path: string;
  boot_args: string;
}

export interface Drive {
  drive_id: string;
  path_on_host: string;
  is_root_device: boolean;
  is_read_only: boolean;
  /** `Writeback` offers the guest a flush, which is an fsync here. */
  cache_type: "Unsafe" | "Writeback";
  io_engine: "Sync" | "Async";
}

export interface NetworkInterface {
  iface_id: string;
  host_dev_name: string;
  guest_mac: string;
}

/** Bytes or operations: so many in each `refill_time` (ms); 0 and 0: any number. */
export interface TokenBucket {
  size: number;
  refill_time: number;
}

export interface RateLimiter {
  bandwidth: TokenBucket;
  ops: TokenBucket;
}

/** Where the guest reads its metadata, and through which interfaces. */
export interface MmdsConfiguration {
  version: "V1" | "V2";
  ipv4_address: string;
  network_interfaces: string[];
}

export interface MachineConfiguration {
  vcpu_count: number;
  mem_size_mib: number;
  smt: boolean;
  track_dirty_pages: boolean;
}

export interface SnapshotCreate {
  snapshot_path: string;
  mem_file_path: string;
  snapshot_type: "Full" | "Diff";
}

export interface SnapshotLoad {
  snapshot_path: string;
  mem_backend: { backend_type: "File" | "Uffd"; backend_path: string };
  track_dirty_pages: boolean;
  resume_vm: boolean;
}

export class FirecrackerApi {
  readonly #client: Client;

  constructor(socketPath: string) {
    this.#client = new Client("http://localhost", { socketPath, headersTimeout: 0, bodyTimeout: 0 });
  }

  bootSource = (body: BootSource, signal: AbortSignal) => this.#send("PUT", "/boot-source", body, signal);
  drive = (body: Drive, signal: AbortSignal) => this.#send("PUT", `/drives/${body.drive_id}`, body, signal);
  networkInterface = (body: NetworkInterface, signal: AbortSignal) =>
    this.#send("PUT", `/network-interfaces/${body.iface_id}`, body, signal);
  /** Takes effect at once; what a snapshot had stays until then. */
  limitDrive = (drive_id: string, rate_limiter: RateLimiter, signal: AbortSignal) =>
    this.#send("PATCH", `/drives/${drive_id}`, { drive_id, rate_limiter }, signal);
  mmdsConfiguration = (body: MmdsConfiguration, signal: AbortSignal) => this.#send("PUT", "/mmds/config", body, signal);
  /** The data are in no snapshot: they are given after every load. */
  mmds = (body: Readonly<Record<string, string>>, signal: AbortSignal) => this.#send("PUT", "/mmds", body, signal);
  machineConfiguration = (body: MachineConfiguration, signal: AbortSignal) =>
    this.#send("PUT", "/machine-config", body, signal);
  entropy = (signal: AbortSignal) => this.#send("PUT", "/entropy", {}, signal);
  instanceStart = (signal: AbortSignal) => this.#send("PUT", "/actions", { action_type: "InstanceStart" }, signal);
  /** Repeating either is success. */
  vmState = (state: "Paused" | "Resumed", signal: AbortSignal) => this.#send("PATCH", "/vm", { state }, signal);
  createSnapshot = (body: SnapshotCreate, signal: AbortSignal) =>
    this.#send("PUT", "/snapshot/create", body, signal, SNAPSHOT_DEADLINE_MS);
  /** After a refusal the process ends: never ask it again. */
  loadSnapshot = (body: SnapshotLoad, signal: AbortSignal) =>
    this.#send("PUT", "/snapshot/load", body, signal, SNAPSHOT_DEADLINE_MS);

  close(): void {
    void this.#client.destroy().catch(() => undefined);
  }

  async #send(
    method: "PUT" | "PATCH",
    path: string,
    body: object,
    signal: AbortSignal,
    deadlineMs = REQUEST_DEADLINE_MS,
  ): Promise<void> {
    signal.throwIfAborted();
    const deadline = AbortSignal.timeout(deadlineMs);
    try {
      const response = await this.#client.request({
        method,
        path,
        headers: { "content-type": "application/json", accept: "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.any([signal, deadline]),
      });
      const text = await response.body.text();
      if (response.statusCode >= 300) throw refusal(method, path, text);
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof WrennError) throw error;
      if (deadline.aborted)
        throw new WrennError("timeout", `Cannot ${method} ${path}: Firecracker did not answer in ${deadlineMs} ms`);
      throw new WrennError("sandbox_unreachable", `Cannot ${method} ${path}: Firecracker closed its connection`, {
        cause: error,
      });
    }
  }
}

/** Its errors are 400 with `{"fault_message"}`, whatever the reason. */
function refusal(method: string, path: string, text: string): WrennError {
  let words = text.slice(0, 400);
  try {
    words = (JSON.parse(text) as { fault_message?: string }).fault_message ?? words;
  } catch {
    // it is told as it is
  }
  const code = path === "/snapshot/load" ? "incompatible_snapshot" : "internal";
  return new WrennError(code, `Cannot ${method} ${path}: Firecracker says: ${words}`);
}
