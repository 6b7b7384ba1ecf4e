/** The shortest life of a guest on Firecracker: booted without a network, frozen at once, and restored from then on. */
import { chown, mkdir, open } from "node:fs/promises";
import { join } from "node:path";
import { readGuestManifest } from "@wrenn/guest";
import { DeviceMapperStore } from "../disk/device-mapper/device-mapper-store.ts";
import { placementOf, type Disk } from "../disk/disk-store.ts";
import type { RestoreSpec, Vmm, VmPlacement } from "../vmm/vmm.ts";

const SHARED_DIRECTORY = process.env["WRENN_TEST_GUEST_DIR"] ?? "/var/lib/wrenn-test";
/** Apart from the users of real slots. */
const UID = 1_999_998;
const SHAPE = { vcpus: 1, memoryMib: 128 };
const DISK_BYTES = 1024 ** 3;

export type Frozen = Required<Pick<RestoreSpec, "shape" | "memory" | "statePath" | "build">>;

/** Places of VMs below a directory, with disks that are removed in the end. */
export class FrozenGuest {
  readonly #disks = new DeviceMapperStore();
  readonly #made: Disk[] = [];
  readonly #root: string;

  /** @param root of mode 0711 or more */
  constructor(root: string) {
    this.#root = root;
  }

  async place(name: string, signal: AbortSignal): Promise<VmPlacement> {
    const supervisionDirectory = join(this.#root, name);
    const directory = join(supervisionDirectory, "own");
    await mkdir(directory, { recursive: true });
    await chown(directory, UID, UID);
    const { templates } = await readGuestManifest(SHARED_DIRECTORY);
    const path = templates.find((template) => template.name === "minimal")?.rootfsPath ?? "";
    const base = { path, format: "raw", backingPaths: [] } as const;
    const disk = await this.#disks.create(
      { id: "d", directory: supervisionDirectory, base, sizeBytes: DISK_BYTES, uid: UID },
      signal,
    );
    this.#made.push(disk);
    return {
      name: `frozen-${process.pid}-${name}`,
      directory,
      supervisionDirectory,
      networkNamespace: undefined,
      tapName: undefined,
      macAddress: "02:fc:00:00:00:05",
      uid: UID,
      ...placementOf(disk),
    };
  }

  async freeze(vmm: Vmm, signal: AbortSignal): Promise<Frozen> {
    const memoryPath = join(this.#root, "memory");
    await using memory = await open(memoryPath, "wx", 0o600);
    await memory.truncate(SHAPE.memoryMib * 1024 * 1024);
    await memory.chown(UID, UID);
    const { kernelPath, initramfsPath, kernelArguments } = await readGuestManifest(SHARED_DIRECTORY);
    const boot = { shape: SHAPE, kernelPath, initramfsPath, kernelArguments, memoryPath };
    const vm = await vmm.boot({ ...(await this.place("first", signal)), ...boot }, signal);
    try {
      await vm.pause(signal);
      const layers = { header: join(this.#root, "header"), builds: { base: memoryPath } };
      const statePath = join(this.#root, "state");
      const target = { buildId: "base", statePath, memoryPath, headerPath: layers.header, parent: undefined };
      await vm.capture(target, signal);
      await memory.chown(0, 0);
      await memory.chmod(0o444);
      const memoryOfGuest = { image: memoryPath, layers };
      return { shape: SHAPE, memory: memoryOfGuest, statePath, build: vm.record.build ?? "" };
    } finally {
      await vm.stop();
    }
  }

  /** When all of its VMs have ended. */
  async remove(): Promise<void> {
    for (const disk of this.#made.splice(0)) await this.#disks.remove(disk);
  }
}
