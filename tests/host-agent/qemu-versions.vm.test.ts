/**
 * A sandbox that was paused on one QEMU and is resumed on another: refused before anything is loaded, and booted
 * from its disk when that is asked for. `WRENN_TEST_QEMU` names the other one (tools/qemu-versions).
 */
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { leakGate } from "../leaks/gate.ts";
import { AgentHost, SandboxState } from "./agent-process.ts";

const other = process.env["WRENN_TEST_QEMU"] ?? "";

let host: AgentHost;
leakGate();
beforeEach(async () => {
  host = await AgentHost.make();
});
afterEach(async () => {
  await host.remove();
});

describe.skipIf(other === "")("a snapshot of another QEMU", () => {
  it("is refused with both versions named, stays as it was, and its disk boots", async () => {
    await host.start();
    const { id } = await host.create();
    await host.shell({ id, incarnation: 1n }, "echo kept > /root/kept; echo here > /dev/shm/here; sync");
    await host.client.pauseSandbox({ id, incarnation: 1n });
    await host.end();

    await host.start({ WRENN_QEMU: other });
    await expect(host.client.resumeSandbox({ id, incarnation: 2n })).rejects.toMatchObject({
      code: "incompatible_snapshot",
      message: expect.stringMatching(/vmm was qemu \S+.* qemu \S+/),
      hint: expect.stringContaining("--cold"),
    });
    expect((await host.get(id))?.state).toBe(SandboxState.PAUSED);
    await host.end();

    await host.start();
    await host.client.resumeSandbox({ id, incarnation: 2n });
    expect(await host.shell({ id, incarnation: 2n }, "cat /root/kept /dev/shm/here")).toBe("kept\nhere");
    await host.client.pauseSandbox({ id, incarnation: 2n });
    await host.end();

    await host.start({ WRENN_QEMU: other });
    await host.client.resumeSandbox({ id, incarnation: 3n, cold: true });
    expect(await host.shell({ id, incarnation: 3n }, "cat /root/kept; ls /dev/shm")).toBe("kept");
  });
});
