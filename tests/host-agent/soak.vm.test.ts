/** Many at once, and many one after another: everything back to where it began. Longer with `./wrenn test --full`. */
import { readdir, readFile } from "node:fs/promises";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { patient } from "../config.ts";
import { leakGate } from "../leaks/gate.ts";
import { AgentHost } from "./agent-process.ts";

const full = process.env["WRENN_TEST_FULL"] === "1";
const HOUR_MS = 3_600_000;
const SMALLEST_MEMORY_MIB = 128;
/** Reachable memory that caches and compiled code may take. */
const KEPT_MIB = 16;
/** V8 lets its heap grow to this many times what it could reach at the last collection (its largest growing factor). */
const HEAP_GROWTH = 4;

let host: AgentHost;
leakGate();
beforeEach(async () => {
  host = await AgentHost.make();
  await host.start({}, { metered: true });
});
afterEach(async () => {
  await host.remove();
});

interface Held {
  descriptors: number;
  threads: number;
  rssMib: number;
  /** Memory that it can reach. */
  reachableMib: number;
}

/** What the agent's process holds; its resident memory as it is, with what waits for the collector. */
async function held(): Promise<Held> {
  const status = await readFile(`/proc/${host.pid}/status`, "utf8");
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)?.[1]);
  return {
    descriptors: (await readdir(`/proc/${host.pid}/fd`)).length,
    threads: field("Threads"),
    rssMib: Math.round(field("VmRSS") / 1024),
    reachableMib: await host.reachableMib(),
  };
}

/** Says what was measured: the figures belong to the run, not to an assertion. */
function report(what: string, figures: object): void {
  process.stderr.write(`${what}: ${JSON.stringify(figures)}\n`);
}

/** Sum of a sandbox metric, MiB. */
async function memoryMib(kind: string): Promise<number> {
  const lines = (await host.text("/metrics")).matchAll(
    new RegExp(`wrenn_sandbox_memory_bytes\\{sandbox="\\w+",kind="${kind}"\\} (\\d+)`, "g"),
  );
  return Math.round(lines.reduce((sum, [, bytes]) => sum + Number(bytes), 0) / 1024 / 1024);
}

describe("many at once", () => {
  it(
    "run and answer, all created together",
    async () => {
      const atOnce = full ? 20 : 6;
      const total = full ? 50 : 8;
      await host.client.destroySandbox((await host.create({ memoryMib: SMALLEST_MEMORY_MIB })).id); // its golden snapshot
      const startedAt = performance.now();
      const make = async () => await host.create({ memoryMib: SMALLEST_MEMORY_MIB });
      const sandboxes = await Promise.all(Array.from({ length: atOnce }, make));
      const createdMs = Math.round(performance.now() - startedAt);
      while (sandboxes.length < total) sandboxes.push(await make());
      const answers = await Promise.all(sandboxes.map(async (sandbox) => await host.shell(sandbox, "hostname")));
      expect(answers).toEqual(sandboxes.map(({ id }) => id));
      report("many at once", {
        atOnce,
        createdMs,
        total,
        privateMib: await memoryMib("private"),
        anonymousMib: await memoryMib("anonymous"),
        agent: await held(),
      });
      await Promise.all(sandboxes.map(async ({ id }) => await host.client.destroySandbox(id)));
    },
    patient(full ? HOUR_MS : 180_000),
  );
});

describe("many one after another", () => {
  it(
    "leave the agent with what it held before: create, exec, destroy",
    async () => {
      await cycles(full ? 500 : 10, async () => {
        const sandbox = await host.create({ memoryMib: SMALLEST_MEMORY_MIB });
        if ((await host.shell(sandbox, "echo works")) !== "works") throw new Error("it does not work");
        await host.client.destroySandbox(sandbox.id);
      });
      expect(await readdir(`${host.directory}/sandboxes`)).toEqual([]);
    },
    patient(full ? 2 * HOUR_MS : 180_000),
  );

  it(
    "leave the agent with what it held before: pause, resume",
    async () => {
      const { id } = await host.create({ memoryMib: SMALLEST_MEMORY_MIB });
      let incarnation = 1n;
      await cycles(full ? 200 : 5, async () => {
        await host.shell({ id, incarnation }, "echo $RANDOM >> /root/rounds");
        await host.client.pauseSandbox({ id, incarnation });
        incarnation++;
        await host.client.resumeSandbox({ id, incarnation });
      });
      expect(Number(await host.shell({ id, incarnation }, "wc -l < /root/rounds"))).toBe(Number(incarnation) - 1);
    },
    patient(full ? 2 * HOUR_MS : 180_000),
  );
});

/** Runs `work` often; the agent may hold no more after the last time than it did after the first few. */
async function cycles(count: number, work: () => Promise<void>): Promise<void> {
  for (let warm = 0; warm < 3; warm++) await work();
  const before = await held();
  const startedAt = performance.now();
  for (let cycle = 0; cycle < count; cycle++) await work();
  const perCycleMs = Math.round((performance.now() - startedAt) / count);
  let after = await held();
  // sockets and threads are given back a moment behind the answer
  for (let wait = 0; wait < 20 && after.descriptors > before.descriptors; wait++) {
    await new Promise((resolve) => setTimeout(resolve, 250));
    after = await held();
  }
  report("cycles", { count, perCycleMs, before, after });
  if (
    after.descriptors > before.descriptors + 2 ||
    after.threads > before.threads + 4 ||
    after.reachableMib > before.reachableMib + KEPT_MIB ||
    after.rssMib > before.rssMib + HEAP_GROWTH * after.reachableMib
  )
    throw new Error(`the agent held ${JSON.stringify(before)}, and after ${count} cycles ${JSON.stringify(after)}`);
}
