/**
 * Runs the platform's processes: the database first (unless there is one of the user's own), then the
 * host agent and the control plane. Holds a lock for its life, so that there is one per state directory,
 * and keeps a record that `status` and `down` read.
 */
import { kill, remove, tryLock, waitForLock, type FileLock } from "@wrenn/effects";
import { embeddedDatabaseUrl } from "@wrenn/postgres";
import { WrennError } from "@wrenn/errors";
import type { CliConfig } from "../config.ts";
import { VERSION } from "../version.ts";
import { apiUrlOf } from "./api-url.ts";
import { databaseService } from "./database-service.ts";
import { LogFile } from "./log-file.ts";
import type { LogRecord } from "./log-record.ts";
import { layoutOf, type PlatformLayout } from "./layout.ts";
import { nodeService } from "./node-service.ts";
import { identify, isAlive } from "./process-identity.ts";
import type { Service } from "./service.ts";
import { SupervisedService } from "./supervised-service.ts";
import { readRecord, writeRecord, type ServiceName, type SupervisorRecord } from "./supervisor-record.ts";

/** Leftovers of a killed supervisor end within this time, or are killed. */
const LEFTOVER_DEADLINE_MS = 20_000;

export interface SupervisorOptions {
  config: CliConfig;
  /** Called with every record of every process. */
  onLog?: (name: ServiceName, record: LogRecord) => void;
  /** Called when the start goes on to the next process. */
  onProgress?: (text: string) => void;
  /** The processes, for tests; from the configuration unless told. */
  services?: readonly Service[];
}

/** The services of this configuration, in the order of their start. */
function servicesOf(config: CliConfig): Service[] {
  const { stateDirectory, root } = config;
  const env = { ...config.env, WRENN_DIR: stateDirectory };
  const embedded = config.DATABASE_URL === undefined;
  const DATABASE_URL = config.DATABASE_URL ?? embeddedDatabaseUrl(stateDirectory);
  return [
    ...(embedded ? [databaseService(stateDirectory)] : []),
    nodeService({ name: "host-agent", root, env }),
    nodeService({ name: "control-plane", root, env: { ...env, DATABASE_URL } }),
  ];
}

export class Supervisor {
  readonly #layout: PlatformLayout;
  readonly #services: readonly SupervisedService[];
  readonly #logs: readonly LogFile[];
  readonly #onProgress: (text: string) => void;
  readonly #record: Omit<SupervisorRecord, "services">;
  #lock: FileLock | undefined;
  #writes: Promise<void> = Promise.resolve();

  constructor({ config, onLog, onProgress, services = servicesOf(config) }: SupervisorOptions) {
    this.#layout = layoutOf(config.stateDirectory);
    this.#onProgress = onProgress ?? (() => undefined);
    const self = identify(process.pid);
    if (self === undefined) throw new WrennError("internal", "Cannot read /proc/self/stat");
    this.#record = {
      supervisor: self,
      state: "starting",
      version: VERSION,
      url: apiUrlOf(config),
      startedAt: new Date().toISOString(),
    };
    const logs: LogFile[] = [];
    this.#services = services.map((service) => {
      const file = new LogFile(this.#layout.logs, service.name);
      logs.push(file);
      return new SupervisedService({
        service,
        log: (record) => {
          void file.append(record);
          onLog?.(service.name, record);
        },
        onChange: () => this.#publish(),
      });
    });
    this.#logs = logs;
  }

  get url(): string {
    return this.#record.url;
  }

  /**
   * Starts everything; answers when the API serves.
   * @throws WrennError `conflict` when another supervisor runs, or the error of the process that failed;
   *   nothing is left running then.
   */
  async start(signal: AbortSignal): Promise<void> {
    this.#lock = await tryLock(this.#layout.supervisorLock);
    if (this.#lock === undefined) {
      throw new WrennError("conflict", `Cannot start the platform of ${this.#layout.state}: it is started already`, {
        hint: "See ./wrenn status",
      });
    }
    try {
      await endLeftovers(this.#layout, signal);
      for (const service of this.#services) {
        this.#onProgress(`starting the ${service.status.name}`);
        await service.start(signal);
      }
      this.#record.state = "ready";
      this.#publish();
      await this.#writes; // who waits for the start reads the record next
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  /** Ends everything in reverse order; sandboxes go on. */
  async stop(): Promise<void> {
    const served = this.#record.state === "ready";
    this.#record.state = "stopping";
    this.#publish();
    for (const service of this.#services.toReversed()) {
      if (served) this.#onProgress(`stopping the ${service.status.name}`);
      await service.stop();
    }
    await this.#writes;
    await remove(this.#layout.supervisorRecord, "supervisor.record.remove");
    for (const log of this.#logs) await log.close();
    await this.#lock?.release();
    this.#lock = undefined;
  }

  /** Writes the record; a burst of changes is written in order. */
  #publish(): void {
    const record = { ...this.#record, services: this.#services.map(({ status }) => status) };
    this.#writes = this.#writes
      .then(() => writeRecord(this.#layout, record))
      .catch((error: unknown) => this.#onProgress(`cannot write the supervisor's record: ${String(error)}`));
  }
}

/**
 * Ends what a killed supervisor has left: the kernel has sent SIGTERM to our own processes already, but
 * they may hang. The database is its service's own matter.
 */
async function endLeftovers(layout: PlatformLayout, signal: AbortSignal): Promise<void> {
  const left = (await readRecord(layout))?.services.filter(({ name }) => name !== "database") ?? [];
  const deadline = Date.now() + LEFTOVER_DEADLINE_MS;
  for (const { process } of left) {
    if (process === undefined) continue;
    while (isAlive(process)) {
      signal.throwIfAborted();
      kill(process.pid, Date.now() < deadline ? "SIGTERM" : "SIGKILL");
      // no event tells the end of a process that is not our child
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

/** Waits until no supervisor runs for this state directory. */
export async function waitForSupervisorsEnd(layout: PlatformLayout, signal: AbortSignal): Promise<void> {
  await (await waitForLock(layout.supervisorLock, signal)).release();
}
