/** The pairs of VMM and disks that there are, and which of them are run in the testbed here. */
import { chooseNestedAcceleration } from "@wrenn/virtualization";

export interface Combination {
  name: string;
  /** Settings of the host agent. */
  env: Record<string, string>;
  /** Why it is not run here; undefined when it is. */
  lacks: string | undefined;
}

const FIRECRACKER = process.env["FIRECRACKER_BIN"];
/** Emulated, a life takes minutes: then it is for the full run, or for who names a Firecracker. */
const SLOW = (await chooseNestedAcceleration()) === "tcg" && process.env["WRENN_TEST_FULL"] !== "1";
const NOT_NOW = SLOW ? "without KVM only in the full run" : undefined;

/** Firecracker reads no qcow2: there is no fourth. */
const ALL: readonly Combination[] = [
  { name: "QEMU on device-mapper", env: { WRENN_VMM: "qemu", WRENN_DISKS: "device-mapper" }, lacks: NOT_NOW },
  { name: "QEMU on qcow2", env: { WRENN_VMM: "qemu", WRENN_DISKS: "qcow2" }, lacks: NOT_NOW },
  {
    name: "Firecracker on device-mapper",
    // By the rule: all that Firecracker needs is there.
    env: { WRENN_FIRECRACKER: FIRECRACKER ?? "" },
    lacks: FIRECRACKER === undefined ? "FIRECRACKER_BIN names no binary, so that it is unproven here" : undefined,
  },
];

/** All of them; says in one line which run here, and why the others do not. */
export function combinations(): readonly Combination[] {
  const skipped = ALL.flatMap(({ name, lacks }) => (lacks === undefined ? [] : [`SKIPPED ${name}: ${lacks}`]));
  const count = `${ALL.length - skipped.length} of ${ALL.length} combinations of VMM and disks`;
  console.log([`nested: ${count}`, ...skipped].join("; "));
  return ALL;
}
