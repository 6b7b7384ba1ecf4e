/**
 * The agent's own death: whatever it was doing, the next one adopts, finishes or undoes it, and nothing leaks. A full run
 * can be ended and gone on with (`journal.ts`).
 */
import { readdir, readFile, rm } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import type { hostagent } from "@wrenn/protocol";
import { patient } from "../config.ts";
import { newId } from "../../apps/control-plane/src/database/ids.ts";
import { leakGate } from "../leaks/gate.ts";
import { AgentHost, SandboxState } from "./agent-process.ts";
import { Journal } from "./journal.ts";

const full = process.env["WRENN_TEST_FULL"] === "1";
/** Of the places found, this many are tried in the default run. */
const SAMPLE = 6;

let host: AgentHost;
leakGate();

beforeEach(async () => {
  host = await AgentHost.make();
});
afterEach(async () => {
  await host.remove();
});

describe("an agent that is killed", () => {
  it("leaves its sandboxes running: processes go on, and a VM that dies later is noticed with its reason", async () => {
    await host.start();
    const [kept, dying, lost] = await Promise.all([host.create(), host.create(), host.create()]);
    await host.shell(
      kept,
      "setsid bash -c 'n=0; while :; do echo $((n++)) >> /dev/shm/n; sleep 0.1; done' >/dev/null 2>&1 &",
    );
    const follow = host.shell(kept, "sleep 600").then(
      () => "ended",
      () => "cut",
    );
    await vi.waitUntil(async () => (await host.shell(kept, "pgrep -fc '^sleep 600' || true")) === "1", patient(10_000));
    await host.end("SIGKILL");
    expect(await follow).toBe("cut");
    const { vmm } = await host.processesOf(dying.id);
    const shim = (await host.processesOf(lost.id)).shim;
    await host.start();
    for (const { id } of [kept, dying, lost]) expect((await host.get(id))?.state).toBe(SandboxState.RUNNING);
    const before = Number(await host.shell(kept, "tail -n 1 /dev/shm/n"));
    await setTimeout(1000);
    expect(Number(await host.shell(kept, "tail -n 1 /dev/shm/n"))).toBeGreaterThan(before);
    expect(await host.shell(kept, "pgrep -fc '^sleep 600'")).toBe("1"); // what was followed goes on as well

    const startedAt = Date.now();
    process.kill(vmm, "SIGKILL");
    expect((await host.reached(dying.id, SandboxState.FAILED)).reason).toBe("the VM was killed by SIGKILL");
    expect(Date.now() - startedAt).toBeLessThan(patient(5_000)); // promised: one second
    process.kill(shim, "SIGKILL");
    expect((await host.reached(lost.id, SandboxState.FAILED)).reason).toBe("the VM ended together with its shim");
  });

  it("says how a VM ended that died while no agent ran", async () => {
    await host.start();
    const { id } = await host.create();
    await host.end("SIGKILL");
    process.kill((await host.processesOf(id)).vmm, "SIGKILL");
    await setTimeout(500);
    await host.start();
    expect(await host.get(id)).toMatchObject({
      state: SandboxState.FAILED,
      reason: "while the host agent was away, the VM was killed by SIGKILL",
    });
  });

  it(
    "is finished or undone by the next one, at every durable step of create, pause, resume and destroy",
    async () => {
      const journal = new Journal<{ what: string; died: boolean }>("restart");
      const places = await journal.once("places", durableSteps);
      expect(places.length).toBeGreaterThan(30);
      const step = full ? 1 : places.length / SAMPLE;
      const offset = full ? 0 : Math.floor(Math.random() * step);
      const chosen = Array.from(
        { length: full ? places.length : SAMPLE },
        (_, n) => places[Math.floor(offset + n * step)],
      );
      const failures: string[] = [];
      for (const place of chosen as string[]) {
        if (journal.timeIsOver) break;
        if (journal.has(place)) continue;
        try {
          journal.add({ what: place, died: await killedAt(place) });
        } catch (error) {
          failures.push(`killed at ${place}: ${String(error)}\n${host.log.slice(-20).join("\n")}`);
          await host.remove();
          host = await AgentHost.make();
        }
      }
      const died = journal.entries.filter((entry) => entry.died).length;
      if (full) process.stdout.write(`restart: ${died} of ${journal.entries.length} died there, of ${places.length}\n`);
      expect(failures).toEqual([]);
      expect(died).toBeGreaterThan(journal.entries.length / 2); // steps of the pool behind it may come earlier or later
    },
    patient(full ? 3_600_000 : 240_000),
  );
});

/** Everything durable that one life of a sandbox does, as `name=kill@N`, found by tracing it. */
async function durableSteps(): Promise<string[]> {
  const trace = `${host.directory}/trace`;
  await host.start({ WRENN_FAILPOINT_TRACE: trace });
  const skip = (await readFile(trace, "utf8")).trim().split("\n").length;
  await life(newId("sb"));
  const passed = (await readFile(trace, "utf8")).trim().split("\n");
  await host.end();
  await rm(trace);
  const passes = new Map<string, number>();
  return passed.flatMap((name, at) => {
    passes.set(name, (passes.get(name) ?? 0) + 1);
    return at < skip ? [] : [`${name}=kill@${passes.get(name)}`];
  });
}

async function life(id: string): Promise<void> {
  const sandbox = await host.create({ id });
  await host.shell(sandbox, "echo kept > /root/file; sync");
  await host.client.pauseSandbox({ id, incarnation: 1n });
  await host.client.resumeSandbox({ id, incarnation: 2n });
  await host.client.destroySandbox(id);
}

/** One life that is cut at a place; true when the agent died there. */
async function killedAt(place: string): Promise<boolean> {
  const id = newId("sb");
  await host.start({ WRENN_FAILPOINTS: place }).catch(() => undefined); // the pool of slots comes to it first
  const finished = await life(id).then(
    () => true,
    () => false,
  );
  if (!finished) await vi.waitUntil(() => !host.alive, patient(10_000)); // nothing else may end a life
  const died = !host.alive;
  await host.end("SIGKILL");
  await host.start();
  const left = await host.get(id);
  if (left !== undefined) await useAndDestroy(left);
  const directories = await readdir(`${host.directory}/sandboxes`);
  if (directories.length > 0) throw new Error(`directories are left: ${directories.join(", ")}`);
  await host.end();
  return died;
}

/** A sandbox that is left must be usable: as it is, or after a resume. */
async function useAndDestroy({ id, incarnation, state }: hostagent.Sandbox): Promise<void> {
  if (state !== SandboxState.RUNNING && state !== SandboxState.PAUSED)
    throw new Error(`it was left ${SandboxState[state]}`);
  const next = state === SandboxState.PAUSED ? incarnation + 1n : incarnation;
  if (state === SandboxState.PAUSED) await host.client.resumeSandbox({ id, incarnation: next });
  const file = await host.shell({ id, incarnation: next }, "cat /root/file 2>/dev/null || echo none");
  if (file !== "kept" && file !== "none") throw new Error(`its file holds ${file}`);
  await host.client.destroySandbox(id);
}
