import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { describe, expect, it, vi } from "vitest";
import { ip } from "../../../../tests/network/namespaces.ts";
import { PREFIX } from "../../../../tests/network/pool-options.ts";
import { makeUplink } from "../../../../tests/network/uplink.ts";
import { watch } from "./watch.ts";

const WITHIN = { timeout: 10_000 };
const MONITOR = ["ip", "monitor", "link"] as const;

describe("watch()", () => {
  it("calls back at the start and after a change, a burst being one, and not after it was stopped", async () => {
    const onChange = vi.fn<() => Promise<void>>(async () => {});
    const children = childrenOf(process.pid);
    const stop = watch(MONITOR, onChange, { warn: () => {} });
    await vi.waitFor(() => expect(onChange).toHaveBeenCalledTimes(1), WITHIN);
    makeUplink(`${PREFIX}w`).remove();
    await vi.waitFor(() => expect(onChange).toHaveBeenCalledTimes(2), WITHIN);
    await stop();
    expect(childrenOf(process.pid)).toEqual(children);
    makeUplink(`${PREFIX}w`).remove();
    await new Promise((resolve) => setTimeout(resolve, 400));
    expect(onChange).toHaveBeenCalledTimes(2);
  });

  it("outlives a failing callback and says so", async () => {
    const warnings: string[] = [];
    const stop = watch(
      MONITOR,
      async () => {
        throw new Error("no");
      },
      { warn: (_fields: unknown, message?: string) => void warnings.push(message ?? "") },
    );
    await vi.waitFor(() => expect(warnings).toHaveLength(1), WITHIN);
    ip([`link add ${PREFIX}w type veth peer name ${PREFIX}p`, `link del ${PREFIX}w`]);
    await vi.waitFor(
      () => expect(warnings).toEqual(Array(2).fill("cannot follow a change of the host's network")),
      WITHIN,
    );
    await stop();
  });

  it("takes its tool along when the process is killed", async () => {
    const program = `import { watch } from ${JSON.stringify(new URL("watch.ts", import.meta.url).href)};
      watch(["ip", "monitor", "link"], async () => {}, { warn() {} });`;
    const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { stdio: "ignore" });
    const pid = child.pid ?? 0;
    await vi.waitFor(
      () =>
        expect(childrenOf(pid).some((tool) => readFileSync(`/proc/${tool}/cmdline`, "utf8").startsWith("ip\0"))).toBe(
          true,
        ),
      WITHIN,
    );
    const [tool] = childrenOf(pid);
    child.kill("SIGKILL");
    await once(child, "exit");
    await vi.waitFor(() => expect(isRunning(tool ?? "")).toBe(false), WITHIN);
  });
});

function childrenOf(pid: number): string[] {
  return readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ").filter(Boolean);
}

/** False for a zombie: its new parent, PID 1, reaps it when it likes. */
function isRunning(pid: string): boolean {
  return existsSync(`/proc/${pid}`) && !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"));
}
