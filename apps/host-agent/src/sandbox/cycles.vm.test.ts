/**
 * Pause and resume, over and over: the host, the agent and the pager hold no more than at the beginning. A full run
 * can be ended and gone on with (`journal.ts`): each part of it is compared with its own beginning.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { patient } from "../../../../tests/config.ts";
import { Journal } from "../../../../tests/host-agent/journal.ts";
import { leakGate } from "../../../../tests/leaks/gate.ts";
import { COLLAPSE_GENERATIONS } from "../snapshot/policy.ts";
import { startTestHost, type TestHost } from "../testing/host-fixture.ts";
import type { SandboxView } from "./manager.ts";

const full = process.env["WRENN_TEST_FULL"] === "1";
const CYCLES = full ? 1000 : 6;
/** Until pools of connections and threads have what they keep. */
const WARM_UP = 3;
const TOLERANCE = 4;
/** Reachable memory: what has not been collected yet is no leak, and is not counted. */
const AGENT_MIB = 16;
const MIB_BYTES = 1024 * 1024;
setFlagsFromString("--expose-gc");
const collectGarbage = runInNewContext("gc") as () => void;

let host: TestHost;
leakGate(() => ({ stateDirectory: host.stateDirectory, directories: [`${host.stateDirectory}/sandboxes`] }));

beforeAll(async () => {
  host = await startTestHost();
});
afterAll(async () => {
  await host.stop();
});

describe("many pauses and resumes", () => {
  it(
    "leave descriptors, threads, mounts, memory and directories as they were",
    async () => {
      let { sandbox } = await host.manager.create(host.request());
      const cycle = async (): Promise<void> => {
        await host.manager.pause(sandbox.id, sandbox.incarnation);
        ({ sandbox } = await host.manager.resume(sandbox.id, sandbox.incarnation + 1, undefined));
      };
      for (let n = 0; n < WARM_UP; n++) await cycle();
      const journal = new Journal<{ what: string; cycles: number; before: Held; after: Held }>("cycles");
      const left = journal.entries.reduce((rest, { cycles }) => rest - cycles, CYCLES);
      const before = await inventory(sandbox);
      let cycles = 0;
      for (; cycles < left && !journal.timeIsOver; cycles++) await cycle();
      let after = before;
      // A collapse behind the last pause has pipes and descriptors of its own until it is over.
      await vi.waitFor(
        async () => {
          after = await inventory(sandbox);
          for (const [what, count] of Object.entries(before.counts)) {
            // A pager that serves a VM's pages has its layers open, whose number is bounded below.
            const layers = what === "the pager's descriptors" ? Math.max(after.layers - before.layers, 0) : 0;
            expect({ what, more: (after.counts[what] ?? 0) - count }).toEqual({
              what,
              more: expect.toSatisfy((more: number) => more <= TOLERANCE + layers) as number,
            });
          }
        },
        { timeout: patient(30_000), interval: 500 },
      );
      expect(after.agentMib - before.agentMib).toBeLessThan(AGENT_MIB);
      // A chain is joined at its bound, and a resume waits for that at twice its bound.
      expect(after.layers).toBeLessThanOrEqual(2 * COLLAPSE_GENERATIONS + 4);
      expect(after.disks).toBeLessThanOrEqual(2 * COLLAPSE_GENERATIONS + 4);
      await host.manager.destroy(sandbox.id, 0);
      journal.add({ what: new Date().toISOString(), cycles, before, after });
    },
    patient(full ? 3 * 3_600_000 : 240_000),
  );
});

interface Held {
  counts: Record<string, number>;
  agentMib: number;
  layers: number;
  disks: number;
}

async function inventory({ id }: SandboxView): Promise<Held> {
  const entries = async (path: string): Promise<number> => (await readdir(path)).length;
  const sandbox = join(host.stateDirectory, "sandboxes", id);
  const { pid } = host.pager.health;
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return {
    counts: {
      "the agent's descriptors": await entries("/proc/self/fd"),
      "the agent's threads": await entries("/proc/self/task"),
      "the pager's descriptors": await entries(`/proc/${pid}/fd`),
      "the pager's threads": await entries(`/proc/${pid}/task`),
      mounts: (await readFile("/proc/self/mounts", "utf8")).split("\n").length,
      "entries of the sandbox": await entries(sandbox),
    },
    agentMib: (heapUsed + external) / MIB_BYTES,
    layers: await entries(join(sandbox, "layers")),
    disks: await entries(join(sandbox, "disks")),
  };
}
