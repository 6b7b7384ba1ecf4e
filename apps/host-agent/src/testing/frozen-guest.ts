/** The shortest life of a guest on Firecracker: booted without a network, frozen at once, and restored from then on. */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { readGuestManifest } from "@wrenn/guest";
import { DeviceMapperStore } from "../disk/device-mapper/device-mapper-store.ts";
import type { RestoreSpec, Vmm, VmPlacement } from "../vmm/vmm.ts";
import { VmPlaces } from "./vm-places.ts";

const SHARED_DIRECTORY = process.env["WRENN_TEST_GUEST_DIR"] ?? "/var/lib/wrenn-test";
/** Apart from the users of real slots. */
const UID = 1_999_998;
const SHAPE = { vcpus: 1, memoryMib: 128 };
const DISK_BYTES = 1024 ** 3;

export type Frozen = Required<Pick<RestoreSpec, "shape" | "memory" | "statePath" | "build">>;

/** A guest below a directory, and places for the VMs that it is restored in. */
export class FrozenGuest {
  readonly #root: string;
  readonly #places: VmPlaces;

  /** @param root of mode 0711 or more */
  constructor(root: string) {
    this.#root = root;
    this.#places = new VmPlaces({ root, disks: new DeviceMapperStore(), diskBytes: DISK_BYTES, uid: UID });
  }

  async place(name: string, signal: AbortSignal): Promise<VmPlacement> {
    return await this.#places.make(name, await readGuestManifest(SHARED_DIRECTORY), signal);
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
    await this.#places.removeDisks();
  }
}
