/** On what the tests with VMs run, and how long they wait (docs/reference/configuration.md). */
import { defineConfig } from "@wrenn/config";
import { DISKS, VMMS, type DisksKind, type VmmKind } from "@wrenn/virtualization";
import { Type } from "typebox";

const definition = defineConfig({
  WRENN_TEST_VMM: Type.Optional(Type.Enum([...VMMS])),
  WRENN_TEST_DISKS: Type.Optional(Type.Enum([...DISKS])),
  FIRECRACKER_BIN: Type.Optional(Type.String()),
  WRENN_TEST_AGENT: Type.Optional(Type.String()),
  WRENN_TEST_AGENT_PLACE: Type.Enum(["here", "testbed"], { default: "here" }),
  WRENN_TEST_PATIENCE: Type.Number({ default: 1, minimum: 1 }),
});
const config = definition.parse(process.env);

/** The pair that the fixtures run on. */
export const VMM: VmmKind = config.WRENN_TEST_VMM ?? "qemu";
export const DISK_STORE: DisksKind = config.WRENN_TEST_DISKS ?? "qcow2";

/** Path or name of Firecracker. */
export const FIRECRACKER = config.FIRECRACKER_BIN ?? "firecracker";

/** What a host agent is told of the pair: nothing unless the tests were told, for then it chooses as it does for users. */
export const AGENT_CHOICE: Readonly<Record<string, string>> = {
  ...(config.WRENN_TEST_VMM === undefined ? {} : { WRENN_VMM: VMM }),
  ...(config.WRENN_TEST_DISKS === undefined ? {} : { WRENN_DISKS: DISK_STORE }),
  ...(config.FIRECRACKER_BIN === undefined ? {} : { WRENN_FIRECRACKER: FIRECRACKER }),
};

/** The host agent's program, when it is another one than that of the sources: one file starts faster where it is emulated. */
export const AGENT_PROGRAM = config.WRENN_TEST_AGENT;

/** Whether a platform of the tests has its host agent in the testbed. */
export const AGENT_IN_TESTBED = config.WRENN_TEST_AGENT_PLACE === "testbed";

/** How long to wait here for what takes `ms` elsewhere at most: every time-out of a test with VMs goes through this. */
export const patient = (ms: number): number => ms * config.WRENN_TEST_PATIENCE;

/** Whether tests about one VMM, or one kind of disk, are to run; when not, says so in one line. */
export function runsOn(wanted: VmmKind | DisksKind): boolean {
  const runs = wanted === VMM || wanted === DISK_STORE;
  if (!runs) console.log(`SKIPPED, for it is about ${wanted}: these tests run on ${VMM} and ${DISK_STORE}`);
  return runs;
}
