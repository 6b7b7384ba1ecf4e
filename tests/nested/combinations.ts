/** The pairs of VMM and disks that there are, and which of them are run in the testbed here. */
import { chooseNestedAcceleration, type DisksKind, type VmmKind } from "@wrenn/virtualization";

export interface Combination {
  name: string;
  vmm: VmmKind;
  disks: DisksKind;
  /** Settings of the host agent. */
  env: Record<string, string>;
  /** Why it is not run here; undefined when it is. */
  lacks: string | undefined;
}

const FIRECRACKER = process.env["FIRECRACKER_BIN"];

/** Firecracker reads no qcow2: there is no fourth. */
export const ALL: readonly Combination[] = [
  {
    name: "Firecracker on device-mapper",
    vmm: "firecracker",
    disks: "device-mapper",
    // By the rule: all that Firecracker needs is there.
    env: { WRENN_FIRECRACKER: FIRECRACKER ?? "" },
    lacks: FIRECRACKER === undefined ? "FIRECRACKER_BIN names no binary, so that it is unproven here" : undefined,
  },
  {
    name: "QEMU on device-mapper",
    vmm: "qemu",
    disks: "device-mapper",
    env: { WRENN_VMM: "qemu", WRENN_DISKS: "device-mapper" },
    lacks: undefined,
  },
  {
    name: "QEMU on qcow2",
    vmm: "qemu",
    disks: "qcow2",
    env: { WRENN_VMM: "qemu", WRENN_DISKS: "qcow2" },
    lacks: undefined,
  },
];

/** Emulated, a life takes minutes: then it is for the full run, or for who names a Firecracker. */
export async function combinationsOfLives(): Promise<readonly Combination[]> {
  const slow = (await chooseNestedAcceleration()) === "tcg" && process.env["WRENN_TEST_FULL"] !== "1";
  const all = ALL.map((one) =>
    slow && one.vmm === "qemu" ? { ...one, lacks: "without KVM only in the full run" } : one,
  );
  tellCombinations(all);
  return all;
}

/** Says in one line which run here, and why the others do not. */
export function tellCombinations(all: readonly Combination[]): void {
  const skipped = all.flatMap(({ name, lacks }) => (lacks === undefined ? [] : [`SKIPPED ${name}: ${lacks}`]));
  const count = `${all.length - skipped.length} of ${all.length} combinations of VMM and disks`;
  console.log([`nested: ${count}`, ...skipped].join("; "));
}
