/** Places in which VMs without a network run, below a directory, each with a disk on the template `minimal`. */
import { chown, mkdir } from "node:fs/promises";
import { join } from "node:path";
import type { GuestManifest } from "@wrenn/guest";
import { placementOf, type Disk, type DiskStore } from "../disk/disk-store.ts";
import { GUEST_MAC_ADDRESS } from "../network/network.ts";
import type { VmPlacement } from "../vmm/vmm.ts";

export interface VmPlacesOptions {
  /** Of mode 0711 or more. */
  root: string;
  disks: DiskStore;
  diskBytes: number;
  /** Apart from the users of real slots. */
  uid: number;
}

export class VmPlaces {
  readonly #options: VmPlacesOptions;
  readonly #made: Disk[] = [];

  constructor(options: VmPlacesOptions) {
    this.#options = options;
  }

  /** @param name of the directory, and part of the name of the VM */
  async make(name: string, { templates }: GuestManifest, signal: AbortSignal): Promise<VmPlacement> {
    const { root, disks, diskBytes, uid } = this.#options;
    const supervisionDirectory = join(root, name);
    const directory = join(supervisionDirectory, "own");
    const diskDirectory = join(supervisionDirectory, "disks");
    await mkdir(directory, { recursive: true });
    await chown(directory, uid, uid);
    await mkdir(diskDirectory, { mode: 0o711 });
    const path = templates.find((template) => template.name === "minimal")?.rootfsPath ?? "";
    const base = { path, format: "raw", backingPaths: [] } as const;
    const disk = await disks.create({ id: "d", directory: diskDirectory, base, sizeBytes: diskBytes, uid }, signal);
    this.#made.push(disk);
    return {
      name: `test-${process.pid}-${name}`,
      directory,
      supervisionDirectory,
      networkNamespace: undefined,
      tapName: undefined,
      macAddress: GUEST_MAC_ADDRESS,
      uid,
      ...placementOf(disk),
      ...(disk.device === undefined ? { diskDirectory } : {}),
    };
  }

  /** When all VMs in them have ended. */
  async removeDisks(): Promise<void> {
    for (const disk of this.#made.splice(0)) await this.#options.disks.remove(disk);
  }
}
