/**
 * The host agent as the process that it is, without the rest of the platform: a test starts it, talks to
 * it as the control plane does, kills it and starts it again in the same state directory.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { get, type IncomingMessage } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { Readable } from "node:stream";
import { createInterface } from "node:readline";
import { hostagent } from "@wrenn/protocol";
import { AGENT_CHOICE, AGENT_PROGRAM, patient } from "../config.ts";
import { AgentClient } from "../../apps/control-plane/src/agent/agent-client.ts";
import { AgentToken } from "../../apps/control-plane/src/agent/token.ts";
import { newId } from "../../apps/control-plane/src/database/ids.ts";
import { linkSharedGuest } from "../first-light/link-shared-guest.ts";

const REPOSITORY = join(import.meta.dirname, "../..");
/** What an agent is in a list of processes. */
export const PROGRAM = AGENT_PROGRAM ?? join(REPOSITORY, "apps/host-agent/src/main.ts");
/** Apart from those of other suites. */
const FIRST_SLOT = 24_000;

export const { SandboxState } = hostagent;

/** A state directory with the shared guest in it, and the agents that run there one after another. */
export class AgentHost {
  readonly directory: string;
  #child: ChildProcess | undefined;
  #client: AgentClient | undefined;
  /** What the agents logged, the last first line by line. */
  readonly log: string[] = [];

  private constructor(directory: string) {
    this.directory = directory;
  }

  /** @param directory where it is to be; one of its own below /tmp unless told */
  static async make(directory?: string): Promise<AgentHost> {
    const host = new AgentHost(directory ?? (await mkdtemp("/tmp/wrenn-agent-")));
    await chmod(host.directory, 0o711);
    await linkSharedGuest(host.directory);
    await mkdir(join(host.directory, "secrets"), { mode: 0o700 });
    await writeFile(join(host.directory, "secrets/agent-token"), randomUUID(), { mode: 0o600 });
    return host;
  }

  /**
   * Starts an agent; settles when it serves.
   * @param options.metered so that `reachableMib` can ask it
   */
  async start(env: NodeJS.ProcessEnv = {}, { metered = false } = {}): Promise<void> {
    const meter = metered ? ["--import", join(import.meta.dirname, "heap-meter.ts")] : [];
    const child = spawn(process.execPath, [...meter, PROGRAM], {
      cwd: REPOSITORY,
      env: {
        ...process.env,
        ...AGENT_CHOICE,
        WRENN_DIR: this.directory,
        WRENN_SLOT_FIRST: String(FIRST_SLOT),
        WRENN_SLOT_COUNT: "96",
        WRENN_SLOT_READY: "1",
        WRENN_DNS: "203.0.113.53",
        WRENN_GOLDEN_MAX_MIB: "4096",
        ...env,
        WRENN_READY_FD: "3",
      },
      stdio: ["ignore", "pipe", "pipe", "pipe", ...(metered ? (["ipc"] as const) : [])],
    });
    this.#child = child;
    for (const stream of [child.stdout, child.stderr])
      createInterface({ input: stream as Readable }).on("line", (line) => this.log.push(line));
    const ready = once(createInterface({ input: child.stdio[3] as Readable }), "line");
    const ended = once(child, "exit").then(([code, signal]) => {
      throw new Error(`the agent ended (${code ?? signal}) before it served: ${this.log.slice(-5).join("\n")}`);
    });
    ended.catch(() => undefined);
    await Promise.race([ready, ended]);
    this.#client = new AgentClient({
      socketPath: join(this.directory, "run/host-agent.sock"),
      token: new AgentToken(join(this.directory, "secrets/agent-token")),
      callDeadlineMs: patient(10_000),
    });
  }

  get client(): AgentClient {
    if (this.#client === undefined) throw new Error("no agent runs");
    return this.#client;
  }

  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** What a metered agent can reach of its memory, the rest having been collected. */
  async reachableMib(): Promise<number> {
    const child = this.#child as ChildProcess;
    const answer = once(child, "message");
    child.send("measure");
    const [bytes] = (await answer) as [number];
    return Math.round(bytes / 1024 / 1024);
  }

  /** True while the last agent runs. */
  get alive(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async answers(): Promise<boolean> {
    return await this.client.listSandboxes().then(
      () => true,
      () => false,
    );
  }

  /** Whether the agent ends by itself within that time. */
  async ends(withinMs: number): Promise<boolean> {
    const signal = AbortSignal.timeout(withinMs);
    if (this.alive) await once(this.#child as ChildProcess, "exit", { signal }).catch(() => undefined);
    if (this.alive) return false;
    await this.#client?.close();
    this.#client = undefined;
    return true;
  }

  /** Ends the agent and waits for it; its sandboxes go on. */
  async end(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    if (this.alive) {
      const exited = once(this.#child as ChildProcess, "exit");
      this.#child?.kill(signal);
      await exited;
    }
    await this.#client?.close();
    this.#client = undefined;
  }

  /** Creates a sandbox of the template `base`. */
  async create(options: { id?: string; memoryMib?: number; envs?: Record<string, string>; accessToken?: string } = {}) {
    const { templates } = await this.client.getHost();
    const template = templates.find(({ name }) => name === "base") as hostagent.Template;
    const { diskMib = 2048 } = template.defaultResources ?? {};
    const { sandbox } = await this.client.createSandbox({
      id: options.id ?? newId("sb"),
      incarnation: 1n,
      templateBuildId: template.buildId,
      resources: { vcpus: 1, memoryMib: options.memoryMib ?? 512, diskMib },
      envs: options.envs ?? {},
      accessToken: options.accessToken ?? randomBytes(16).toString("hex"),
    });
    return sandbox as hostagent.Sandbox;
  }

  /** Runs a shell script in a sandbox as root; its output when it ended with status 0. */
  async shell({ id, incarnation }: { id: string; incarnation: bigint }, script: string): Promise<string> {
    let output = "";
    const request = { sandboxId: id, incarnation, cmd: "/bin/bash", args: ["-c", script], user: "root" };
    for await (const { event } of this.client.startProcess(request, { signal: AbortSignal.timeout(patient(60_000)) })) {
      if (event?.event.case === "stdout" || event?.event.case === "stderr")
        output += Buffer.from(event.event.value).toString();
      if (event?.event.case === "ended" && event.event.value.exitCode !== 0)
        throw new Error(`exit ${event.event.value.exitCode}: ${output}`);
    }
    return output.trim();
  }

  /** `GET` of a plain HTTP path of the agent. */
  async text(path: string): Promise<string> {
    const token = await readFile(join(this.directory, "secrets/agent-token"), "utf8");
    const request = get({
      socketPath: join(this.directory, "run/host-agent.sock"),
      path,
      headers: { authorization: `Bearer ${token}` },
    });
    const [response] = (await once(request, "response")) as [IncomingMessage];
    if (response.statusCode !== 200) throw new Error(`${path}: ${response.statusCode}`);
    return await text(response);
  }

  async get(id: string): Promise<hostagent.Sandbox | undefined> {
    return (await this.client.listSandboxes()).find((sandbox) => sandbox.id === id);
  }

  /** Settles when a sandbox is in a state; the change before the watch counts too. */
  async reached(id: string, state: hostagent.SandboxState, timeoutMs = patient(30_000)): Promise<hostagent.Sandbox> {
    for await (const { event } of this.client.watchSandboxes(AbortSignal.timeout(timeoutMs))) {
      if (event.case === "ready") {
        const now = await this.get(id);
        if (now?.state === state) return now;
      }
      if (event.case === "changed" && event.value.id === id && event.value.state === state) return event.value;
    }
    throw new Error(`${id} did not get there`);
  }

  /** Destroys everything, also without an agent running, and removes the directory. */
  async remove(): Promise<void> {
    if (!this.alive) await this.start();
    for (const { id } of await this.client.listSandboxes()) await this.client.destroySandbox(id);
    await this.end();
    await rm(this.directory, { recursive: true, force: true });
  }

  /** Process ids of a sandbox's shim and VMM. */
  async processesOf(id: string): Promise<{ shim: number; vmm: number }> {
    for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
      const argv = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");
      if (argv[1] !== "run" || argv[2] !== `${this.directory}/sandboxes/${id}/shim.json`) continue;
      const children = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).trim().split(" ");
      return { shim: Number(pid), vmm: Number(children[0]) };
    }
    throw new Error(`no shim of ${id}`);
  }
}
