/**
 * Every durable step of a resume, a pause and the collapse behind it, four ways to die at each and two ways
 * for it to fail. Afterwards the sandbox has its old state or its new one, memory and disk of the same
 * moment, byte for byte; it goes on; and nothing is left of it once it is destroyed. The table of points ×
 * outcomes is printed.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { newId } from "../../apps/control-plane/src/database/ids.ts";
import { leakGate } from "../leaks/gate.ts";
import { AgentHost, SandboxState } from "./agent-process.ts";

const full = process.env["WRENN_TEST_FULL"] === "1";
const FATES = ["agent", "pager", "shim", "vmm", "ENOSPC", "EIO"] as const;
type Fate = (typeof FATES)[number];
/** Two generations are joined, so that every pause is followed by a collapse. */
const ENV = { WRENN_COLLAPSE_GENERATIONS: "2" };
const REWRITE_DEADLINE_MS = 30_000;

interface Point {
  /** Each begins with an agent that finds what there is; so passes are counted from there. */
  phase: "resume" | "pause";
  name: string;
  /** The how-manieth passing of the agent's life. */
  pass: number;
}

/** `passed`: it went on as if nothing had been, or the point was not come by. */
type Outcome = "passed" | "old state" | "new state";

let host: AgentHost;
let id: string;
let incarnation: bigint;
/** How often the state was changed; both memory and disk hold the number, and bytes made from it. */
let written = 0;
leakGate();

beforeEach(async () => {
  host = await AgentHost.make();
});
afterEach(async () => {
  await host.remove();
});

describe("layers", () => {
  it(
    "survive the death of agent, pager, shim or VMM, a full disk and a broken one, at every durable step",
    async () => {
      id = newId("sb");
      incarnation = 1n;
      await host.start(ENV);
      await host.create({ id });
      await change();
      await host.client.pauseSandbox({ id, incarnation });
      const points = await trace();
      expect(new Set(points.map(({ name }) => name)).size).toBeGreaterThanOrEqual(40);
      const pairs = points
        .flatMap((point) => FATES.map((fate) => ({ point, fate })))
        .filter(({ point, fate }) => {
          // A signal or a start of a process has no full disk.
          return (fate !== "ENOSPC" && fate !== "EIO") || !/^(kill|start\.|run\.)/.test(point.name);
        });
      const table = new Map<Fate, Map<Outcome, number>>(FATES.map((fate) => [fate, new Map()]));
      for (const { point, fate } of full
        ? shuffled(pairs)
        : FATES.map((fate) => oneOf(pairs.filter((p) => p.fate === fate)))) {
        let outcome: Outcome;
        try {
          outcome = await suffer(point, fate);
        } catch (error) {
          const last = host.log.slice(-15).join("\n");
          throw new Error(`${fate} at ${point.phase} ${point.name}@${point.pass}: ${String(error)}\n${last}`, {
            cause: error,
          });
        }
        const row = table.get(fate) as Map<Outcome, number>;
        row.set(outcome, (row.get(outcome) ?? 0) + 1);
        if (full) process.stdout.write(`${fate} at ${point.phase} ${point.name}@${point.pass}: ${outcome}\n`);
      }
      print(points, table);
    },
    full ? 6 * 3_600_000 : 600_000,
  );
});

/** Everything that one resume, pause and collapse pass, found by tracing them. The sandbox is paused before and after. */
async function trace(): Promise<Point[]> {
  const points: Point[] = [];
  for (const phase of ["resume", "pause"] as const) {
    const path = join(host.directory, `trace-${phase}`);
    await host.end("SIGKILL");
    await host.start({ ...ENV, WRENN_FAILPOINT_TRACE: path });
    const read = async (): Promise<string[]> => (await readFile(path, "utf8")).trim().split("\n");
    const skip = (await read()).length;
    await live(phase);
    const passes = new Map<string, number>();
    for (const [at, name] of (await read()).entries()) {
      const pass = (passes.get(name) ?? 0) + 1;
      passes.set(name, pass);
      // Pooled network slots are made when they are made.
      if (at >= skip && !/^(run\.(ip|nft|conntrack)|slot|network)/.test(name)) points.push({ phase, name, pass });
    }
  }
  await host.end();
  return points;
}

async function live(phase: Point["phase"]): Promise<void> {
  if (phase === "resume") {
    const { sandbox } = await host.client.resumeSandbox({ id, incarnation: incarnation + 1n });
    incarnation = sandbox?.incarnation ?? incarnation;
    await change();
  } else {
    await host.client.pauseSandbox({ id, incarnation });
    await joined();
  }
}

async function suffer({ phase, name, pass }: Point, fate: Fate): Promise<Outcome> {
  if (!host.alive) await host.start(ENV);
  const kept = written;
  if (phase === "pause") await live("resume");
  const pids = { pager: await pidOf("wrenn-pager"), ...(phase === "pause" ? await host.processesOf(id) : {}) };
  await host.end("SIGKILL"); // the others go on, and are found by the next one
  const victim =
    fate === "shim" || fate === "vmm" || fate === "pager" ? (pids as Record<string, number>)[fate] : undefined;
  // A shim that is not born yet dies as soon as it can, behind an agent that died at the point.
  const action =
    fate === "ENOSPC" || fate === "EIO" ? `error:${fate}` : victim === undefined ? "kill" : `kill:${victim}`;
  await host.start({ ...ENV, WRENN_FAILPOINTS: `${name}=${action}@${pass}` }).catch(() => undefined);
  let failed = false;
  await live(phase).catch(() => {
    failed = true;
  });
  if (victim === undefined && (fate === "shim" || fate === "vmm")) await killProcess(fate);
  const reached = failed || !host.alive || (victim !== undefined && !isAlive(victim));
  await host.end("SIGKILL");
  await host.start(ENV);
  const outcome = await goOn(kept);
  return reached ? outcome : "passed";
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

/** The sandbox must go on from one moment of its past: the last that was acknowledged, or a later one. */
async function goOn(before: number): Promise<Outcome> {
  const left = await host.get(id);
  if (left === undefined) throw new Error("the sandbox is gone");
  if (left.state !== SandboxState.RUNNING && !left.resumable)
    throw new Error(`it is ${SandboxState[left.state]}: ${left.reason}`);
  incarnation = left.incarnation;
  if (left.state !== SandboxState.RUNNING) {
    const { sandbox } = await host.client.resumeSandbox({ id, incarnation: incarnation + 1n });
    incarnation = sandbox?.incarnation ?? incarnation;
  }
  const found = await readBack();
  if (found < before || found > written)
    throw new Error(`it holds state ${found}; ${before} was kept, ${written} written`);
  const outcome = found === before ? "old state" : "new state";
  written = found;
  await change();
  await host.client.pauseSandbox({ id, incarnation });
  await joined();
  return outcome;
}

/** Memory and disk get bytes that are made from the next number, zeros among them. */
async function change(): Promise<void> {
  const next = written + 1;
  await host.shell(
    { id, incarnation },
    `${PATTERN}; pattern ${next} > /dev/shm/state.new; pattern ${next} > /root/state.new; sync
     mv /dev/shm/state.new /dev/shm/state; mv /root/state.new /root/state; sync; echo ${next} > /dev/shm/number`,
  );
  written = next;
}

/** Three mebibytes: of bytes, of zeros where the last state had bytes, and of bytes again. */
const PATTERN = `pattern() { yes "state $1" | head -c 1048576; head -c $((1048576 * ($1 % 2))) /dev/zero; yes "$1" | head -c 1048576; }`;

async function readBack(): Promise<number> {
  const number = Number(await host.shell({ id, incarnation }, "cat /dev/shm/number"));
  for (const candidate of [number, number + 1]) {
    const same = await host.shell(
      { id, incarnation },
      `${PATTERN}; pattern ${candidate} > /dev/shm/expected
       cmp /dev/shm/expected /dev/shm/state && cmp /dev/shm/expected /root/state && echo same || echo differ`,
    );
    // The guest may have been stopped between the files and the number.
    if (same.endsWith("same")) return candidate;
  }
  throw new Error(`memory and disk do not hold state ${number}`);
}

/** Waits until the collapse behind a pause is over: one layer of the sandbox's own is left. */
async function joined(): Promise<void> {
  const layers = join(host.directory, "sandboxes", id, "layers");
  const deadline = Date.now() + REWRITE_DEADLINE_MS;
  while (host.alive && Date.now() < deadline) {
    if ((await readdir(layers)).length === 1) return;
    await setTimeout(50);
  }
}

async function killProcess(fate: "shim" | "vmm"): Promise<void> {
  const processes = await host.processesOf(id).catch(() => undefined);
  if (processes !== undefined) process.kill(processes[fate], "SIGKILL");
}

async function pidOf(program: string): Promise<number> {
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const argv = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");
    if (argv[0]?.endsWith(`/${program}`) === true && argv.some((argument) => argument.startsWith(host.directory)))
      return Number(pid);
  }
  throw new Error(`no ${program} of ${host.directory} runs`);
}

function oneOf<T>(all: readonly T[]): T {
  return all[Math.floor(Math.random() * all.length)] as T;
}

/** A run that is ended early has tried some of everything. */
function shuffled<T>(all: readonly T[]): T[] {
  return all
    .map((item) => ({ item, at: Math.random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

function print(points: readonly Point[], table: ReadonlyMap<Fate, ReadonlyMap<Outcome, number>>): void {
  const names = new Set(points.map(({ name }) => name));
  const rows = [...table].map(
    ([fate, outcomes]) =>
      `${fate.padEnd(8)}${[...outcomes].map(([outcome, count]) => ` ${outcome}: ${count}`).join(",")}`,
  );
  process.stdout.write(`${points.length} points of ${names.size} kinds\n${rows.join("\n")}\n`);
}
