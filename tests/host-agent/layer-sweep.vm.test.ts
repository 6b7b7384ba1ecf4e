/**
 * Every durable step of a create, pause, resume, fork, snapshot, destroy, and of the collapse behind a pause;
 * four ways to die at each and two ways for it to fail. Afterwards the sandbox goes on from what it held, or,
 * when its own VM was killed, from its last layer or a later one: memory and disk of the same moment, byte for
 * byte. What was being made is there or not, never half. Nothing is left once all is destroyed. The table of
 * points × outcomes is printed. A full run can be ended and gone on with (`journal.ts`).
 */
import { readdir, readFile } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { patient } from "../config.ts";
import { leakGate } from "../leaks/gate.ts";
import { AgentHost } from "./agent-process.ts";
import { Journal } from "./journal.ts";
import { Failpoints } from "./sweep/failpoints.ts";
import { expectOnly, PHASES, prepare, type Phase } from "./sweep/phases.ts";
import { Subject, type Found } from "./sweep/subject.ts";

const full = process.env["WRENN_TEST_FULL"] === "1";
const FATES = ["agent", "pager", "shim", "vmm", "ENOSPC", "EIO"] as const;
type Fate = (typeof FATES)[number];
/** Two generations are joined, so that every pause is followed by a collapse. */
const COLLAPSE = { WRENN_COLLAPSE_GENERATIONS: "2" };
/** A signal or a start of a process has no full disk. */
const NO_STORAGE = /^(kill|start\.|run\.)/;
/** Pooled network slots are made when they are made. */
const NOT_OF_LAYERS = /^(run\.(ip|nft|conntrack)|slot|network)/;
const STOP_POLL_MS = 3;
/** An agent that kills itself is gone at once. */
const SUICIDE_MS = patient(5_000);

interface Pair {
  /** Says all of it: the key of the journal. */
  what: string;
  phase: Phase;
  name: string;
  /** The how-manieth passing in that operation. */
  pass: number;
  fate: Fate;
}

/**
 * `went on`: the operation succeeded in spite of it. Else `finished` or `undone`, or back to the `last layer`.
 * `not there`: the victim was not yet, or no more; `not reached`: the operation took another way this time.
 */
const OUTCOMES = ["went on", "finished", "undone", "last layer", "not there", "not reached"] as const;
type Outcome = (typeof OUTCOMES)[number];

let host: AgentHost;
let subject: Subject;
let failpoints: Failpoints;
leakGate();

beforeEach(async () => await begin());
afterEach(async () => {
  await host.remove();
});

async function begin(): Promise<void> {
  host = await AgentHost.make();
  failpoints = await Failpoints.make(host.directory);
  await host.start({ ...COLLAPSE, ...failpoints.env });
  subject = await Subject.create(host);
}

describe("sandboxes", () => {
  it(
    "survive the death of agent, pager, shim or VMM, a full disk and a broken one, at every durable step",
    async () => {
      const journal = new Journal<{ what: string; fate: Fate; outcome: Outcome; ms: number }>("layer-sweep");
      const pairs = await journal.once("pairs", findPairs);
      const failures: string[] = [];
      for (const pair of full ? pairs : FATES.map((fate) => oneOf(pairs.filter((p) => p.fate === fate)))) {
        if (journal.timeIsOver) break;
        if (journal.has(pair.what)) continue;
        const startedAt = performance.now();
        try {
          const outcome = await suffer(pair);
          const ms = Math.round(performance.now() - startedAt);
          journal.add({ what: pair.what, fate: pair.fate, outcome, ms });
          if (full) process.stdout.write(`${pair.what}: ${outcome}, ${ms} ms\n`);
        } catch (error) {
          const last = host.log.slice(-15).join("\n");
          failures.push(`${pair.what}: ${String(error)}\n${last}`);
          process.stdout.write(`${pair.what}: FAILED: ${String(error)}\n`);
          await failpoints.arm("");
          await host.remove();
          await begin();
        }
      }
      print(pairs, journal.entries);
      expect(failures).toEqual([]);
    },
    patient(full ? 6 * 3_600_000 : 600_000),
  );
});

/**
 * All that each operation passes, found by tracing it, times all fates. What is passed the first time comes before
 * what is passed again: a run that is ended early has tried some of everything.
 */
async function findPairs(): Promise<Pair[]> {
  const all: Pair[][] = [];
  const kinds = new Set<string>();
  for (const phase of PHASES) {
    const attempt = await prepare(phase, host, subject);
    await failpoints.arm("");
    await attempt.run();
    const pairs: Pair[] = [];
    const passes = new Map<string, number>();
    let born = phase !== "resume" && phase !== "create";
    for (const name of await failpoints.passed()) {
      const pass = (passes.get(name) ?? 0) + 1;
      passes.set(name, pass);
      if (NOT_OF_LAYERS.test(name)) continue;
      kinds.add(name);
      for (const fate of FATES)
        if (isPossible(name, fate, born))
          pairs.push({ what: `${fate} at ${phase} ${name}@${pass}`, phase, name, pass, fate });
      born ||= name === "start.wrenn-shim";
    }
    await attempt.finished();
    all.push(shuffled(pairs));
  }
  expect(kinds.size).toBeGreaterThanOrEqual(40);
  return all.flat().toSorted((a, b) => a.pass - b.pass);
}

/** @param born whether the shim has been started */
function isPossible(name: string, fate: Fate, born: boolean): boolean {
  if (fate === "ENOSPC" || fate === "EIO") return !NO_STORAGE.test(name);
  return born || (fate !== "shim" && fate !== "vmm");
}

async function suffer({ phase, name, pass, fate }: Pair): Promise<Outcome> {
  const attempt = await prepare(phase, host, subject);
  const from = host.log.length;
  const isFailure = fate === "ENOSPC" || fate === "EIO";
  await failpoints.arm(`${name}=${isFailure ? `error:${fate}` : fate === "agent" ? "kill" : "stop"}@${pass}`);
  const operation = attempt.run().then(
    () => true,
    () => false,
  );
  const victim = isFailure || fate === "agent" ? undefined : await killAtStop(fate, attempt.id, operation);
  const succeeded = await operation;
  const passes = (await failpoints.passed()).filter((passed) => passed === name).length;
  // What was still done behind the operation before may have passed there, too, a moment before the arming.
  let reached =
    fate === "agent"
      ? passes >= pass && (await host.ends(SUICIDE_MS))
      : isFailure
        ? passes >= pass
        : victim !== undefined;
  await failpoints.arm("");
  // And what is done behind this one may have come there a moment before that.
  if (await isStopped(host.pid)) process.kill(host.pid, "SIGCONT");
  if (fate === "agent" && !reached && !(await host.answers())) reached = await host.ends(SUICIDE_MS);
  if (!host.alive) await host.start({ ...COLLAPSE, ...failpoints.env });
  const died = victim === true && (fate === "shim" || fate === "vmm");
  const finished = await attempt.finished();
  const found = attempt.ofSubject ? await subject.goOn(died, from) : undefined;
  await expectOnly(host, subject);
  if (!reached) return "not reached";
  if (victim === false) return "not there";
  return outcomeOf(phase, succeeded, finished, found);
}

function outcomeOf(phase: Phase, succeeded: boolean, finished: boolean, found: Found | undefined): Outcome {
  if (found === "failed") return "last layer";
  if (succeeded) return "went on";
  if (phase === "pause") return found === "paused" ? "finished" : "undone";
  if (phase === "resume") return found === "running" ? "finished" : "undone";
  if (found === "paused") return "last layer";
  return finished ? "finished" : "undone";
}

/** Waits for the agent to halt at its failpoint and kills another process then; undefined when it did not halt. */
async function killAtStop(
  fate: "pager" | "shim" | "vmm",
  id: string,
  operation: Promise<unknown>,
): Promise<boolean | undefined> {
  let over = false;
  void operation.then(() => {
    over = true;
  });
  while (!(await isStopped(host.pid))) {
    if (over) return undefined;
    await setTimeout(STOP_POLL_MS);
  }
  const victim = fate === "pager" ? await pidOf("wrenn-pager") : (await processesOf(id))?.[fate];
  if (victim !== undefined) process.kill(victim, "SIGKILL");
  process.kill(host.pid, "SIGCONT");
  return victim !== undefined;
}

async function isStopped(pid: number): Promise<boolean> {
  return /\) T /.test(await readFile(`/proc/${pid}/stat`, "utf8").catch(() => ""));
}

/** Those of them that there are; a shim's VMM is its child from a moment after its start until one before its end. */
async function processesOf(id: string): Promise<{ shim: number; vmm: number | undefined } | undefined> {
  const found = await host.processesOf(id).catch(() => undefined);
  return found && { shim: found.shim, vmm: found.vmm > 0 ? found.vmm : undefined };
}

async function pidOf(program: string): Promise<number | undefined> {
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const argv = (await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")).split("\0");
    if (argv[0]?.endsWith(`/${program}`) === true && argv.some((argument) => argument.startsWith(host.directory)))
      return Number(pid);
  }
  return undefined;
}

function oneOf<T>(all: readonly T[]): T {
  return all[Math.floor(Math.random() * all.length)] as T;
}

function shuffled<T>(all: readonly T[]): T[] {
  return all
    .map((item) => ({ item, at: Math.random() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

function print(pairs: readonly Pair[], tried: readonly { what: string; fate: Fate; outcome: Outcome }[]): void {
  const points = new Set(pairs.map(({ phase, name, pass }) => `${phase} ${name}@${pass}`));
  const kinds = new Set(pairs.map(({ name }) => name));
  process.stdout.write(
    `${points.size} points of ${kinds.size} kinds; ${tried.length} of ${pairs.length} pairs tried\n`,
  );
  for (const fate of FATES) {
    const of = tried.filter((entry) => entry.fate === fate);
    const counts = OUTCOMES.map((outcome) => `${outcome}: ${of.filter((entry) => entry.outcome === outcome).length}`);
    process.stdout.write(`${fate.padEnd(7)} ${counts.join(", ")}\n`);
  }
}
