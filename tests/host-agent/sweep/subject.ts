/**
 * The sandbox that a sweep puts through everything. Its memory and its disk hold a number, and bytes made
 * from it, zeros among them; so it can tell which moment of its past it goes on from, and whether whole.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import type { hostagent } from "@wrenn/protocol";
import { patient } from "../../config.ts";
import { newId } from "../../../apps/control-plane/src/database/ids.ts";
import { SandboxState, type AgentHost } from "../agent-process.ts";

export const MEMORY_MIB = 256;
const REWRITE_DEADLINE_MS = patient(15_000);
const DEATH_DEADLINE_MS = patient(10_000);
const POLL_MS = 10;

/**
 * `/root/state.sh` in the guest: says which number memory and disk hold, when they hold the same and are
 * whole, and then writes the number that it is given. Some 600 KiB each: lines that tell the number, zeros where the number
 * before had such lines, and lines again. Few processes: each costs as much as all the bytes.
 */
const SCRIPT = `
pattern() {
  seq $1000000 $1030000
  [ $(($1 % 2)) = 1 ] && head -c 250000 /dev/zero
  seq $1500000 $1530000
}
if [ -e /dev/shm/number ]; then
  n=$(</dev/shm/number)
  pattern $n | cmp - /dev/shm/state && pattern $n | cmp - /root/state && echo "whole $n"
fi
if [ -n "$1" ]; then
  pattern $1 > /dev/shm/state; pattern $1 > /root/state; echo $1 > /dev/shm/number; sync
fi`;

/** Where the sandbox was found after something happened to it. */
export type Found = "running" | "paused" | "failed";

export class Subject {
  readonly id = newId("sb");
  incarnation = 1n;
  /** What memory and disk hold. */
  #written = 0;
  /** What the last acknowledged layer holds. */
  #kept = 0;
  #highest = 0;
  /** True while it runs, as far as we did it. */
  running = true;
  readonly #host: AgentHost;

  private constructor(host: AgentHost) {
    this.#host = host;
  }

  static async create(host: AgentHost): Promise<Subject> {
    const subject = new Subject(host);
    await host.create({ id: subject.id, memoryMib: MEMORY_MIB });
    await host.shell(subject, `cat > /root/state.sh <<'END'\n${SCRIPT}\nEND`);
    await subject.#write();
    await subject.pause();
    await subject.resume();
    return subject;
  }

  /** Pauses it and waits until the collapse behind that is over. */
  async pause(): Promise<void> {
    const from = this.#host.log.length;
    await this.#host.client.pauseSandbox({ id: this.id, incarnation: this.incarnation });
    this.running = false;
    this.acknowledged();
    await this.joined(from);
  }

  async resume(): Promise<void> {
    const incarnation = this.incarnation + 1n;
    const { sandbox } = await this.#host.client.resumeSandbox({ id: this.id, incarnation });
    this.incarnation = sandbox?.incarnation ?? incarnation;
    this.running = true;
  }

  /** What it holds now is in a layer that was acknowledged: it can never go back to an earlier one. */
  acknowledged(): void {
    this.#kept = this.#written;
  }

  /** Throws unless a sandbox that was made of it holds what it holds. */
  async expectCopy(copy: { id: string; incarnation: bigint }): Promise<void> {
    const output = await this.#host.shell(copy, "bash /root/state.sh");
    if (output !== `whole ${this.#written}`) throw new Error(`the copy of state ${this.#written} is not: ${output}`);
  }

  /**
   * Finds it after something happened, lets it run, checks what it holds, and writes something new.
   * @param died whether its VM was killed: only then may what came after the last layer be lost
   * @param from the length of the agents' log before it
   * @throws Error when it cannot go on, or holds anything but a moment that it may hold
   */
  async goOn(died: boolean, from: number): Promise<Found> {
    const state = await this.#settled(died);
    const found = state === SandboxState.RUNNING ? "running" : state === SandboxState.PAUSED ? "paused" : "failed";
    this.running = found === "running";
    // Nothing is joined behind one that failed.
    if (found === "paused") await this.joined(from);
    if (!this.running) await this.resume();
    const before = this.#written;
    const output = await this.#write();
    const holds = Number(/^whole (\d+)$/m.exec(output)?.[1]);
    if (!(holds === before || (died && holds >= this.#kept && holds < before)))
      throw new Error(`it holds ${output || "nothing"}; ${before} was written, ${this.#kept} kept`);
    if (found !== "running") this.#kept = holds;
    return found;
  }

  /** Waits until a collapse behind it is over: one layer of its own is left, or the agent logged that it failed. */
  async joined(from: number): Promise<void> {
    const layers = join(this.#host.directory, "sandboxes", this.id, "layers");
    const deadline = Date.now() + REWRITE_DEADLINE_MS;
    while (this.#host.alive && Date.now() < deadline) {
      if ((await readdir(layers)).length <= 1) return;
      const said = this.#host.log.slice(from).filter((line) => line.includes(this.id));
      if (said.some((line) => /"operation":"(rewrite|collect)"/.test(line) && line.includes('"err"'))) return;
      await setTimeout(POLL_MS);
    }
  }

  async #write(): Promise<string> {
    const next = this.#highest + 1;
    const output = await this.#host.shell(this, `bash /root/state.sh ${next}`);
    this.#written = next;
    this.#highest = next;
    return output;
  }

  async #settled(died: boolean): Promise<hostagent.SandboxState> {
    const deadline = Date.now() + DEATH_DEADLINE_MS;
    for (;;) {
      const left = await this.#host.get(this.id);
      if (left === undefined) throw new Error("the sandbox is gone");
      this.incarnation = left.incarnation;
      if (left.state === SandboxState.RUNNING && !died) return left.state;
      if ((left.state === SandboxState.PAUSED || left.state === SandboxState.FAILED) && left.resumable)
        return left.state;
      if (Date.now() > deadline) throw new Error(`it is ${SandboxState[left.state]}: ${left.reason}`);
      await setTimeout(POLL_MS);
    }
  }
}
