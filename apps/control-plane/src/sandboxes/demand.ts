/** What sandboxes take of their team's quotas. */
import type { NewSandboxRow, SandboxRow } from "../database/tables.ts";
import type { Amounts } from "../quotas/quotas.ts";

const MIB_BYTES = 1_048_576;

/** What a layer of a sandbox may take: until it is written, only the memory tells. */
export function storageOf({ memory_mib: memoryMib }: Pick<SandboxRow, "memory_mib">): Pick<Amounts, "snapshotBytes"> {
  return { snapshotBytes: memoryMib * MIB_BYTES };
}

/** What sandboxes take of their team's quotas while they have a VM. */
export function demandOf(rows: readonly Pick<NewSandboxRow, "vcpus" | "memory_mib">[]): Partial<Amounts> {
  return {
    runningSandboxes: rows.length,
    vcpus: rows.reduce((sum, { vcpus }) => sum + vcpus, 0),
    memoryMib: rows.reduce((sum, { memory_mib: memoryMib }) => sum + memoryMib, 0),
  };
}
