/**
 * What is started for a sandbox: every process of the agent passes a failpoint (lint keeps it so), and the kernel lists
 * what those start in turn.
 */
import { readFile } from "node:fs/promises";
import { setTimeout } from "node:timers/promises";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { patient } from "../config.ts";
import { leakGate } from "../leaks/gate.ts";
import { AgentHost } from "./agent-process.ts";
import { Failpoints } from "./sweep/failpoints.ts";

const READY = 2;
const QUIET_MS = 1_500;

let host: AgentHost;
let failpoints: Failpoints;
leakGate();
beforeEach(async () => {
  host = await AgentHost.make();
  failpoints = await Failpoints.make(host.directory);
});
afterEach(async () => {
  await host.remove();
});

describe("a sandbox whose network slot is ready", () => {
  it("is created, and resumed, by starting its shim and its VMM and nothing else", async () => {
    // no more slots than are kept ready: none is made up while it is looked
    const slots = { WRENN_SLOT_COUNT: String(READY), WRENN_SLOT_READY: String(READY) };
    await host.start();
    await host.client.destroySandbox((await host.create()).id); // its golden snapshot
    await host.end();
    await host.start({ ...failpoints.env, ...slots });
    await slotsMade(READY);

    await failpoints.arm("");
    const { id } = await host.create();
    expect(await started()).toEqual(["start.wrenn-shim"]);
    expect(await descendants((await host.processesOf(id)).shim)).toHaveLength(1);

    await failpoints.arm("");
    await host.client.pauseSandbox({ id, incarnation: 1n });
    await slotsMade(1); // in the place of the one that it had
    await failpoints.arm("");
    await host.client.resumeSandbox({ id, incarnation: 2n });
    expect(await started()).toEqual(["start.wrenn-shim"]);
    expect(await descendants((await host.processesOf(id)).shim)).toHaveLength(1);
  });
});

/** The processes that the agent has started since the failpoints were armed, but for those that make a disk's devices. */
async function started(): Promise<string[]> {
  return (await failpoints.passed()).filter((name) => /^(start|run)\.(?!losetup|dmsetup)/.test(name));
}

async function slotsMade(count: number): Promise<void> {
  await vi.waitFor(
    async () => expect((await failpoints.passed()).filter((name) => name === "network.ready")).toHaveLength(count),
    { timeout: patient(30_000) },
  );
  // Behind its own changes the agent looks at the host's rules again: that is no part of what comes next.
  for (let seen = -1; ; await setTimeout(QUIET_MS)) {
    const { length } = await failpoints.passed();
    if (length === seen) return;
    seen = length;
  }
}

/** Everything that a process has started and that runs. */
async function descendants(pid: number): Promise<number[]> {
  const children = (await readFile(`/proc/${pid}/task/${pid}/children`, "utf8")).split(" ").filter(Boolean).map(Number);
  return [...children, ...(await Promise.all(children.map(descendants))).flat()];
}
