/** Guests that stop answering are told apart from busy ones, and reported. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostagent } from "@wrenn/protocol";
import { leakGate } from "../leaks/gate.ts";
import { AgentHost } from "./agent-process.ts";

const { Health } = hostagent;
const WITHIN_MS = 120_000;
let host: AgentHost;
leakGate(() => ({ stateDirectory: host.directory }));

beforeAll(async () => {
  host = await AgentHost.make();
  await host.start({ WRENN_HEALTH_INTERVAL_SEC: "1" });
});
afterAll(async () => {
  await host.remove();
});

/** Every health that a sandbox is reported with until it is `last`. */
async function healthUntil(id: string, last: hostagent.Health): Promise<string[]> {
  const seen: string[] = [];
  for await (const { event } of host.client.watchSandboxes(AbortSignal.timeout(WITHIN_MS))) {
    const sandbox = event.case === "ready" ? await host.get(id) : event.case === "changed" ? event.value : undefined;
    if (sandbox?.id !== id) continue;
    seen.push(Health[sandbox.health] as string);
    if (sandbox.health === last) return seen;
  }
  return seen;
}

describe("a guest", () => {
  it("whose agent is stopped does not respond, and responds again when it goes on", async () => {
    const sandbox = await host.create();
    const { id } = sandbox;
    await host.shell(
      sandbox,
      "setsid bash -c 'sleep 1; kill -STOP $(pgrep -x envd); sleep 20; kill -CONT $(pgrep -x envd)' >/dev/null 2>&1 &",
    );
    expect(await healthUntil(id, Health.UNRESPONSIVE)).not.toContain("BUSY");
    await healthUntil(id, Health.RESPONSIVE);
    await host.client.destroySandbox(id);
  });

  it("whose kernel panicked does not respond, however busy its vCPU is", async () => {
    const sandbox = await host.create();
    // panic=0: it stays and spins
    await host.shell(sandbox, "echo 0 > /proc/sys/kernel/panic; echo c > /proc/sysrq-trigger").catch(() => undefined);
    await healthUntil(sandbox.id, Health.UNRESPONSIVE);
    await host.client.destroySandbox(sandbox.id);
  });

  it("that computes is never taken for one that does not respond", async () => {
    const sandbox = await host.create();
    await host
      .shell(
        sandbox,
        "for n in $(seq 40); do setsid chrt -f 1 bash -c 'end=$((SECONDS+20)); while [ $SECONDS -lt $end ]; do :; done' >/dev/null 2>&1 & done",
      )
      .catch(() => undefined);
    const seen = new Set<string>();
    const end = Date.now() + 25_000;
    for await (const { event } of host.client.watchSandboxes(AbortSignal.timeout(30_000))) {
      if (event.case === "changed" && event.value.id === sandbox.id) seen.add(Health[event.value.health] as string);
      if (Date.now() > end || seen.has("RESPONSIVE")) break;
    }
    expect([...seen]).not.toContain("UNRESPONSIVE");
    expect(await host.shell(sandbox, "echo back")).toBe("back");
    await host.client.destroySandbox(sandbox.id);
  });
});
