import { afterAll, beforeAll, describe, expect, it, vi } from "vitest";
import { patient, runsOn } from "../../../../tests/config.ts";
import { leakGate } from "../../../../tests/leaks/gate.ts";
import { runInGuest } from "../envd/run-in-guest.ts";
import { startTestHost, type TestHost } from "../testing/host-fixture.ts";
import { problemsOfLastLayer } from "../testing/layer-problems.ts";
import type { SandboxView } from "./manager.ts";

const GENERATIONS = 3;
const CHECKPOINTS = 8;

let host: TestHost;
leakGate(() => ({ stateDirectory: host.stateDirectory, directories: [`${host.stateDirectory}/sandboxes`] }));

beforeAll(async () => {
  host = await startTestHost({ collapseGenerations: GENERATIONS });
});
afterAll(async () => {
  await host.stop();
});

async function shell({ id, incarnation }: SandboxView, script: string): Promise<string> {
  using lease = host.manager.use(id, incarnation);
  const signal = AbortSignal.timeout(patient(60_000));
  const { exitCode, output } = await runInGuest(lease.agent, ["/bin/bash", "-c", script], "root", signal);
  expect({ exitCode, output }).toMatchObject({ exitCode: 0 });
  return output.trim();
}

describe.runIf(runsOn("qcow2"))("the disk of a sandbox that is checkpointed over and over", () => {
  it("is shortened while it runs and writes, and is whole through the next pause", async () => {
    const { sandbox } = await host.manager.create(host.request());
    const chain = (): readonly string[] => host.manager.get(sandbox.id).disk?.backingPaths ?? [];
    const foreign = chain();
    await shell(sandbox, "while :; do date +%N > /root/busy; sync /root/busy; done >/dev/null 2>&1 &");
    for (let n = 1; n <= CHECKPOINTS; n++) {
      await shell(sandbox, `head -c 300K /dev/urandom > /root/part${n}; sha256sum /root/part${n} >> /root/sums; sync`);
      const held = await host.manager.holdPresentLayer(sandbox.id, 1);
      held[Symbol.dispose]();
    }
    await vi.waitUntil(() => chain().length - foreign.length < GENERATIONS, { timeout: patient(60_000) });
    expect(chain().slice(-foreign.length)).toEqual(foreign);
    const whole = `sha256sum -c --quiet /root/sums && wc -l < /root/sums`;
    expect(await shell(sandbox, whole)).toBe(String(CHECKPOINTS));

    await host.manager.pause(sandbox.id, 1);
    expect(await problemsOfLastLayer(host, sandbox)).toEqual([]);
    const { sandbox: resumed } = await host.manager.resume(sandbox.id, 2, undefined);
    expect(await shell(resumed, whole)).toBe(String(CHECKPOINTS));
    await host.manager.destroy(sandbox.id, 0);
  });
});
