import { expect, it } from "vitest";
import { endedAtStart, endedUnder, reasonOf } from "./vm-exit.ts";

it.each([
  [{ kind: "exit", code: 0 }, "the guest shut down"],
  [{ kind: "exit", code: 1 }, "the VM ended with exit status 1"],
  [{ kind: "signal", signal: "SIGKILL" }, "the VM was killed by SIGKILL"],
  [{ kind: "signal", signal: "SIGKILL", oom: true }, "the VM was killed: the host ran out of memory for it"],
  [{ kind: "lost" }, "the VM ended together with its shim"],
] as const)("says why a VM ended: %j", (exit, reason) => {
  expect(reasonOf(exit)).toBe(reason);
  expect(endedUnder("Cannot start sb1", exit)).toMatchObject({
    code: "sandbox_unreachable",
    publicMessage: `Cannot start sb1: ${reason}`,
  });
});

it("takes only a VMM that ends by itself for a defect", () => {
  expect(endedAtStart("QEMU", { kind: "exit", code: 1 }, "no such file")).toMatchObject({
    code: "internal",
    message: "Cannot start the VM: QEMU ended (no such file)",
  });
  expect(endedAtStart("QEMU", { kind: "signal", signal: "SIGKILL" }, "")).toMatchObject({
    code: "sandbox_unreachable",
    message: "Cannot start the VM: the VM was killed by SIGKILL",
  });
});
