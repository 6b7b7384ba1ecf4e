/**
 * The pager's process: one per host, which outlives the agent as VMs do. A running one is found at its
 * socket and taken as it is; one that is dead, hangs, or is another version's is replaced, and its
 * successor takes over the VMs that it served.
 */
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout } from "node:timers/promises";
import type { Logger } from "pino";
import { kill, remove, start } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { healthOf, type PagerHealth, type PagerSessions } from "./pager-requests.ts";
import { askPager, PagerGone } from "./pager-socket.ts";

const START_DEADLINE_MS = 20_000;
const HEALTH_DEADLINE_MS = 5_000;
/** How long the pager may keep a question for changes, and how much later it counts as hanging. */
const WATCH_MS = 20_000;
const HANG_MS = 15_000;
/** Pause before a pager that died at once is started again, doubled each time. */
const RESTART_PAUSE_MS = 50;
const MAX_RESTART_PAUSE_MS = 5_000;
const EXIT_POLL_MS = 10;

export interface PagerProcessOptions {
  program: string;
  stateDirectory: string;
  /** Directories below which layers may be; real paths. */
  roots: readonly string[];
  log: Logger;
}

export class PagerProcess {
  readonly socketPath: string;
  readonly #options: PagerProcessOptions;
  readonly #runDirectory: string;
  readonly #ending = new AbortController();
  #health: PagerHealth | undefined;
  #replacing: Promise<void> | undefined;
  #watch: Promise<void> | undefined;

  constructor(options: PagerProcessOptions) {
    this.#options = options;
    this.socketPath = join(options.stateDirectory, "run", "pager.sock");
    // On a tmpfs: what it holds ends with the host. Named by the state directory, for there may be several.
    const name = createHash("sha256").update(options.stateDirectory).digest("hex").slice(0, 16);
    this.#runDirectory = join("/run/wrenn/pager", name);
  }

  /** What the running pager says of itself. */
  get health(): PagerHealth {
    if (this.#health === undefined) throw new WrennError("unavailable", "Cannot use the pager: it was not started");
    return this.#health;
  }

  /** Finds or starts the pager, and follows it. */
  async open(signal: AbortSignal): Promise<void> {
    await mkdir(join(this.#options.stateDirectory, "run"), { recursive: true, mode: 0o700 });
    await mkdir(this.#runDirectory, { recursive: true, mode: 0o700 });
    const found = await this.#askHealth().catch(() => undefined);
    if (found !== undefined && (await this.#isOurs(found))) this.#health = found;
    else await this.#start(found?.pid, signal);
    this.#watch = this.#follow();
  }

  /** Waits for a pager that answers, after one was found gone. */
  async replaced(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (this.#ending.signal.aborted) throw new WrennError("unavailable", "Cannot use the pager: the agent is stopping");
    this.#replacing ??= this.#replace().finally(() => {
      this.#replacing = undefined;
    });
    await this.#replacing;
  }

  /** Lets go of the pager, which goes on while it serves VMs; else it ends. Runs on its own deadline. */
  async close(): Promise<void> {
    this.#ending.abort();
    await this.#watch;
    await this.#replacing?.catch(() => undefined);
    const pid = this.#health?.pid;
    if (pid === undefined) return;
    const serves = await askPager(this.socketPath, "GET", "/v1/sessions", undefined, deadline()).then(
      (answer) => (answer as PagerSessions).sessions.some(({ state }) => state === "listening" || state === "serving"),
      () => false,
    );
    if (serves) return;
    await endProcess(pid);
    await remove(this.socketPath, "pager.socket");
    await remove(this.#runDirectory, "pager.run");
  }

  /** One lost connection, on a host that is too busy, is no reason to end a pager: its VMs end with their pages. */
  async #stillAnswers(): Promise<boolean> {
    await setTimeout(RESTART_PAUSE_MS);
    return await this.#askHealth().then(
      ({ pid }) => pid === this.#health?.pid,
      () => false,
    );
  }

  async #askHealth(): Promise<PagerHealth> {
    return healthOf(await askPager(this.socketPath, "GET", "/v1/health", undefined, deadline()));
  }

  /** Whether a pager that runs already is this version's and sees our files. */
  async #isOurs({ pid, roots }: PagerHealth): Promise<boolean> {
    const program = await readlink(`/proc/${pid}/exe`).catch(() => "");
    return program === this.#options.program && this.#options.roots.every((root) => roots.some((r) => r.path === root));
  }

  async #start(predecessor: number | undefined, signal: AbortSignal): Promise<void> {
    const { program, roots, log } = this.#options;
    if (predecessor !== undefined) await endProcess(predecessor); // it may hang, and holds the lock
    const argv = [program, "--socket", this.socketPath, "--run-directory", this.#runDirectory] as const;
    const child = start([...argv, ...roots.flatMap((root) => ["--root", root])], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    child.unref();
    const lastWords: string[] = [];
    const errors = createInterface({ input: child.stderr as NodeJS.ReadableStream });
    errors.on("line", (line) => {
      lastWords.push(line);
      if (lastWords.length > 5) lastWords.shift();
      log.warn({ operation: "pager", msg: line });
    });
    const limit = AbortSignal.any([signal, AbortSignal.timeout(START_DEADLINE_MS)]);
    try {
      const ready = once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), "line", { signal: limit });
      const ended = once(child, "exit").then(([code, by]) => {
        throw new WrennError("internal", `Cannot start the pager: it ended (${by ?? code}): ${lastWords.join("; ")}`);
      });
      ended.catch(() => undefined);
      await Promise.race([ready, ended]);
      this.#health = await this.#askHealth();
    } catch (error) {
      if (child.pid !== undefined) kill(child.pid, "SIGKILL");
      throw error;
    }
    // Its pipes must not keep the agent alive.
    for (const stream of [child.stdout, child.stderr]) (stream as unknown as { unref(): void }).unref();
    log.info({ operation: "pager.start", pid: this.#health.pid, roots: this.#health.roots });
  }

  async #replace(): Promise<void> {
    for (let pause = RESTART_PAUSE_MS; ; pause = Math.min(pause * 2, MAX_RESTART_PAUSE_MS)) {
      try {
        await this.#start(this.#health?.pid, this.#ending.signal);
        return;
      } catch (error) {
        if (this.#ending.signal.aborted) throw error;
        this.#options.log.error({ operation: "pager.start", err: error });
        await setTimeout(pause, undefined, { signal: this.#ending.signal });
      }
    }
  }

  /** Replaces the pager as soon as it is dead or hangs: the VMs that it served wait for their pages. */
  async #follow(): Promise<void> {
    const { signal } = this.#ending;
    let revision = 0;
    while (!signal.aborted) {
      const limit = AbortSignal.any([signal, AbortSignal.timeout(WATCH_MS + HANG_MS)]);
      try {
        const path = `/v1/sessions?after=${revision}&wait_ms=${WATCH_MS}`;
        const answer = (await askPager(this.socketPath, "GET", path, undefined, limit)) as PagerSessions;
        revision = answer.revision;
      } catch (error) {
        if (signal.aborted) return;
        if (await this.#stillAnswers()) continue;
        this.#options.log.warn({ operation: "pager.lost", gone: error instanceof PagerGone, err: error });
        revision = 0;
        await this.replaced(signal).catch(() => undefined);
      }
    }
  }
}

const deadline = (): AbortSignal => AbortSignal.timeout(HEALTH_DEADLINE_MS);

/** SIGKILL, and the end of it: the next pager waits for nothing, and its lock is free then. */
async function endProcess(pid: number): Promise<void> {
  kill(pid, "SIGKILL");
  // Not our child after a restart of the agent, and node has no pidfd.
  while (kill(pid, 0) && !(await isZombie(pid))) await setTimeout(EXIT_POLL_MS);
}

async function isZombie(pid: number): Promise<boolean> {
  return (await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ") Z")).includes(") Z");
}
