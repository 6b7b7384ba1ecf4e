/** Guests that stop answering are told apart from busy ones, and reported. */
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { hostagent } from "@wrenn/protocol";
import { patient } from "../config.ts";
import { leakGate } from "../leaks/gate.ts";
import { AgentHost } from "./agent-process.ts";

const { Health } = hostagent;
const WITHIN_MS = patient(120_000);
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
  it("is busy while it computes, does not respond when it rests, and responds when its agent goes on", async () => {
    const sandbox = await host.create();
    // the agent is stopped all the time: what differs is whether the guest is at work
    const script = `
      sleep 1; agent=$(pgrep -x envd); kill -STOP $agent
      end=$((SECONDS+12)); while [ $SECONDS -lt $end ]; do :; done
      sleep 30; kill -CONT $agent`;
    await host.shell(sandbox, `setsid bash -c '${script}' >/dev/null 2>&1 &`);
    expect(await healthUntil(sandbox.id, Health.UNRESPONSIVE)).toContain("BUSY");
    await healthUntil(sandbox.id, Health.RESPONSIVE);
    expect(await host.shell(sandbox, "echo back")).toBe("back");
    await host.client.destroySandbox(sandbox.id);
  });

  it("whose kernel panicked does not respond, however busy its vCPU is", async () => {
    const sandbox = await host.create();
    // panic=0: it stays and spins
    await host.shell(sandbox, "echo 0 > /proc/sys/kernel/panic; echo c > /proc/sysrq-trigger").catch(() => undefined);
    expect(await healthUntil(sandbox.id, Health.UNRESPONSIVE)).toContain("UNRESPONSIVE");
    await host.client.destroySandbox(sandbox.id);
  });
});
