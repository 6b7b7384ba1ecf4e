/** The store of disks of the kind that was chosen (`@wrenn/virtualization`). */
import type { DisksKind } from "@wrenn/virtualization";
import { DeviceMapperStore } from "./device-mapper/device-mapper-store.ts";
import type { DiskStore } from "./disk-store.ts";
import { Qcow2Store } from "./qcow2/qcow2-store.ts";

export const openDisks = (kind: DisksKind): DiskStore =>
  kind === "device-mapper" ? new DeviceMapperStore() : new Qcow2Store();
