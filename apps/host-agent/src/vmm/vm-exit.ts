/** Why a VM ended, in words, and as the error of the operation that it ended under. */
import { WrennError } from "@wrenn/errors";
import type { VmExit } from "./vmm.ts";

export function reasonOf(exit: VmExit): string {
  if (exit.oom === true) return "the VM was killed: the host ran out of memory for it";
  switch (exit.kind) {
    case "exit":
      return exit.code === 0 ? "the guest shut down" : `the VM ended with exit status ${exit.code}`;
    case "signal":
      return `the VM was killed by ${exit.signal}`;
    case "lost":
      return "the VM ended together with its shim";
  }
}

/** @param what could not be done, as `Cannot start sb1` */
export function endedUnder(what: string, exit: VmExit): WrennError {
  return new WrennError("sandbox_unreachable", `${what}: ${reasonOf(exit)}`, {
    hint: "Try again; what its console said is in a debug bundle (./wrenn debug bundle ID)",
  });
}

/**
 * A VMM that ended before it served: by itself it is a defect, which `lastWords`, the end of its console, describes;
 * from outside it is none.
 */
export function endedAtStart(vmm: string, exit: VmExit, lastWords: string): WrennError {
  if (exit.kind !== "exit") return endedUnder("Cannot start the VM", exit);
  return new WrennError("internal", `Cannot start the VM: ${vmm} ended (${lastWords})`);
}
