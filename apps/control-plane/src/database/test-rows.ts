/** For tests: rows of things that no host knows. */
import { newId } from "./ids.ts";
import type { NewSandboxRow } from "./tables.ts";

/** A sandbox that is being created. */
export function newSandboxRow(
  values: Pick<NewSandboxRow, "team_id" | "host_id" | "template_build_id"> & Partial<NewSandboxRow>,
): NewSandboxRow {
  return {
    id: newId("sb"),
    template_name: "base",
    state: "creating",
    incarnation: 1,
    vcpus: 1,
    memory_mib: 512,
    disk_mib: 2_048,
    idle_timeout_sec: 300,
    on_timeout: "destroy",
    metadata: "{}",
    access_token: "guest-secret",
    ...values,
  };
}
