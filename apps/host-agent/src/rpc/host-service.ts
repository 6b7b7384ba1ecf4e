/** What this host is and has: hostagent.v1 GetHost. */
import { availableParallelism } from "node:os";
import type { ServiceImpl } from "@connectrpc/connect";
import type { GuestManifest } from "@wrenn/guest";
import type { hostagent } from "@wrenn/protocol";
import { readRoom } from "../sandbox/admission.ts";
import type { SandboxManager } from "../sandbox/manager.ts";
import type { Vmm } from "../vmm/vmm.ts";
import { mapped } from "./errors.ts";

export type HostService = Pick<ServiceImpl<typeof hostagent.HostAgentService>, "getHost">;

const MIB = 1024 * 1024;

export function hostService(options: {
  stateDirectory: string;
  version: string;
  vmm: Vmm;
  manifest: GuestManifest;
  manager: SandboxManager;
}): HostService {
  const { stateDirectory, version, vmm, manifest, manager } = options;
  return {
    getHost: () =>
      mapped(async () => {
        const room = await readRoom(stateDirectory);
        const sandboxes = manager.list();
        return {
          version,
          vmm: vmm.kind,
          vmmVersion: vmm.version,
          accelerator: vmm.accelerator,
          vcpus: availableParallelism(),
          memoryTotalMib: BigInt(room.memoryTotalMib),
          memoryAvailableMib: BigInt(room.memoryAvailableMib),
          diskAvailableMib: BigInt(room.diskAvailableMib),
          sandboxesRunning: sandboxes.filter(({ state }) => state === "running").length,
          sandboxesPaused: sandboxes.filter(({ state }) => state === "paused").length,
          templates: manifest.templates.map(({ name, buildId, vcpus, memoryMib, virtualBytes, sizeBytes }) => ({
            name,
            buildId,
            defaultResources: { vcpus, memoryMib, diskMib: Math.ceil(virtualBytes / MIB) },
            sizeBytes: BigInt(sizeBytes),
          })),
        };
      }),
  };
}
