/** The suites with VMs that are about no VMM and no kind of disk of their own: the full run has them on every pair. */

export interface Suite {
  name: string;
  /** Part of the paths of its files. */
  pattern: string;
  /**
   * `testbed`: all of it runs there. `outside`: only its host agent does; control plane, database and clients stay
   * outside, where they are fast.
   */
  runs: "testbed" | "outside";
  /** Its long form can be ended and gone on with (`tests/host-agent/journal.ts`). */
  resumable?: true;
}

const SANDBOX = "apps/host-agent/src/sandbox";

/** The most telling first: a run that is ended early has tried those on every pair. */
export const SUITES: readonly Suite[] = [
  { name: "restart", pattern: "tests/host-agent/restart", runs: "testbed", resumable: true },
  { name: "fork-crash", pattern: "tests/host-agent/fork-crash", runs: "testbed" },
  { name: "layers", pattern: `${SANDBOX}/layers`, runs: "testbed" },
  { name: "layer-sweep", pattern: "tests/host-agent/layer-sweep", runs: "testbed", resumable: true },
  { name: "manager", pattern: `${SANDBOX}/manager.vm`, runs: "testbed" },
  { name: "host contract", pattern: "tests/control-plane/host-agent.vm", runs: "outside" },
  { name: "fork", pattern: `${SANDBOX}/fork`, runs: "testbed" },
  { name: "health", pattern: "tests/host-agent/health", runs: "testbed" },
  { name: "history", pattern: `${SANDBOX}/history`, runs: "testbed", resumable: true },
  { name: "pressure", pattern: "tests/host-agent/pressure", runs: "testbed" },
  { name: "cycles", pattern: `${SANDBOX}/cycles`, runs: "testbed", resumable: true },
  { name: "checkpoints", pattern: `${SANDBOX}/shorten-disk`, runs: "testbed" },
  { name: "restore check", pattern: "src/template/restore-check", runs: "testbed" },
  { name: "many at once", pattern: "tests/host-agent/soak", runs: "testbed" },
  { name: "spawns", pattern: "tests/host-agent/spawns", runs: "testbed" },
  { name: "API", pattern: "tests/control-plane/api.vm", runs: "outside" },
  { name: "streams", pattern: "tests/control-plane/streams.vm", runs: "outside" },
  { name: "commands", pattern: "tests/control-plane/commands.vm", runs: "outside" },
  { name: "SDK", pattern: "tests/sdk/package", runs: "outside" },
  { name: "every operation", pattern: "tests/openapi/operations", runs: "outside" },
];
