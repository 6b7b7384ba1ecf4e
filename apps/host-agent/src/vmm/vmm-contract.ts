/**
 * What every VMM must do, as tests: the same for QEMU and Firecracker. Needs no network and no guest
 * agent; the guest is the template `minimal`, which goes on running without either.
 */
import { createHash } from "node:crypto";
import { chmod, chown, copyFile, mkdtemp, open, readFile, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { pino } from "pino";
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from "vitest";
import type { GuestManifest } from "@wrenn/guest";
import { leakGate } from "../../../../tests/leaks/gate.ts";
import type { DiskStore } from "../disk/disk-store.ts";
import { openPager } from "../pager/open-pager.ts";
import type { Pager } from "../pager/pager.ts";
import { encodeHeader } from "../snapshot/header.ts";
import { wholeMapping } from "../snapshot/mapping.ts";
import { readRestoredMemory } from "../template/memory-digest.ts";
import { flipByte } from "../testing/flip-byte.ts";
import { VmPlaces } from "../testing/vm-places.ts";
import type { Capture, GuestMemory, RestoreSpec, VirtualMachine, Vmm, VmPlacement } from "./vmm.ts";

/** Apart from the users of real slots. */
const UID = 1_999_999;
const DISK_BYTES = 16 * 1024 ** 3;
const PAGE_BYTES = 4096;
const READ_BYTES = 4 * 1024 * 1024;

/** In what a VMM and its tests differ. */
export interface VmmTraits {
  disks: DiskStore;
  memoryMib: number;
  /** How long the guest runs before its first capture, and between two. */
  bootMs: number;
  runMs: number;
  deadlineMs: number;
  /** Whether the pager serves the memory of layers. */
  isPaged: boolean;
  /** All memory of a paused guest that was captured, as its process has it: the truth that layers are held to. */
  memoryOf: (vm: VirtualMachine, imagePath: string) => Promise<Buffer>;
}

export function describeVmmContract(
  name: string,
  make: (pager: Pager) => Promise<{ vmm: Vmm; manifest: GuestManifest }>,
  traits: VmmTraits,
): void {
  const { disks, memoryMib, bootMs, runMs, memoryOf } = traits;
  const MEMORY_BYTES = memoryMib * 1024 * 1024;
  const SHAPE = { vcpus: 1, memoryMib };
  const signal = (): AbortSignal => AbortSignal.timeout(traits.deadlineMs);
  describe(`${name} keeps the contract of a VMM`, () => {
    const live: VirtualMachine[] = [];
    let root: string;
    let places: VmPlaces;
    let pager: Pager;
    let vmm: Vmm;
    let manifest: GuestManifest;
    let sequence = 0;
    const image = (): string => join(root, "image");
    const state = (): string => join(root, "state");
    const base = (): GuestMemory => ({
      image: image(),
      layers: { header: join(root, "image.header"), builds: { base: image() } },
    });

    const place = async (): Promise<VmPlacement> => await places.make(`vm${sequence++}`, manifest, signal());

    async function restore(from: Partial<RestoreSpec> = {}): Promise<VirtualMachine> {
      const spec = { ...(await place()), shape: SHAPE, memory: base(), statePath: state(), ...from };
      const vm = await vmm.restore(spec, signal());
      live.push(vm);
      return vm;
    }

    /** Captures a paused VM, and gives what another one is restored from. */
    async function capture(
      vm: VirtualMachine,
      parent: GuestMemory,
      { isCommitted = true } = {},
    ): Promise<{ from: Pick<RestoreSpec, "statePath" | "memory">; layer: NonNullable<Capture["layer"]> }> {
      const buildId = `layer${sequence++}`;
      const [statePath, memoryPath, headerPath] = ["state", "memory", "header"].map((kind) =>
        join(root, `${buildId}.${kind}`),
      ) as [string, string, string];
      const { layer } = await vm.capture({ buildId, statePath, memoryPath, headerPath, parent }, signal());
      if (layer === undefined) throw new Error("no layer was made");
      if (isCommitted) await vm.captureCommitted();
      const builds = { ...parent.layers.builds, [buildId]: memoryPath };
      return { from: { statePath, memory: { image: parent.image, layers: { header: headerPath, builds } } }, layer };
    }

    /** What a VM has that was restored from `truth`, or captured from it. */
    const expectMemory = (found: Buffer, truth: Buffer, pages = vmm.restoreWritesPages(SHAPE)): void =>
      expect(differingPages(found, truth).length).toBeLessThanOrEqual(pages);
    const expectNothing = ({ dataBytes, zeroBytes }: NonNullable<Capture["layer"]>): void =>
      expect(dataBytes + zeroBytes).toBeLessThanOrEqual(vmm.restoreWritesPages(SHAPE) * PAGE_BYTES);

    beforeAll(async () => {
      root = await mkdtemp("/tmp/wrenn-vmm-");
      places = new VmPlaces({ root, disks, diskBytes: DISK_BYTES, uid: UID });
      pager = await openPager({ stateDirectory: root, log: pino({ level: "silent" }) }, signal());
      ({ vmm, manifest } = await make(pager));
      const memory = await open(image(), "wx", 0o600);
      await memory.truncate(MEMORY_BYTES);
      await memory.chown(UID, UID);
      await memory.close();
      const { kernelPath, initramfsPath, kernelArguments } = manifest;
      const boot = {
        ...(await place()),
        shape: SHAPE,
        kernelPath,
        initramfsPath,
        kernelArguments,
        memoryPath: image(),
      };
      const vm = await vmm.boot(boot, signal());
      await setTimeout(bootMs);
      await vm.pause(signal());
      const target = { buildId: "base", statePath: state(), memoryPath: image(), headerPath: base().layers.header };
      expect((await vm.capture({ ...target, parent: undefined }, signal())).layer).toBeUndefined();
      expect((await vm.stop()).kind).toBe("signal");
      await chown(image(), 0, 0);
      await chmod(image(), 0o444);
      const mapping = wholeMapping("base", MEMORY_BYTES);
      const header = { size: MEMORY_BYTES, generation: 0, buildId: "base", baseBuildId: "base", mapping };
      await writeFile(base().layers.header, encodeHeader(header));
      await places.removeDisks();
    });

    leakGate();
    afterEach(async () => {
      await Promise.all(live.splice(0).map((vm) => vm.stop()));
      await places.removeDisks();
    });

    afterAll(async () => {
      await pager.close();
      await rm(root, { recursive: true, force: true });
    });

    it("runs the VMM as its own user, without capabilities, under seccomp", async () => {
      const vm = await restore();
      const status = await readFile(`/proc/${vm.pid}/status`, "utf8");
      const field = (key: string): string | undefined => new RegExp(`^${key}:\\s+(.*)$`, "m").exec(status)?.[1];
      expect(field("Uid")).toBe([UID, UID, UID, UID].join("\t"));
      expect([field("CapEff"), field("CapBnd")]).toEqual(["0000000000000000", "0000000000000000"]);
      expect([field("NoNewPrivs"), field("Seccomp")]).toEqual(["1", "2"]);
    });

    it("never writes the image that its clones map", async () => {
      const before = await hashOf(image());
      const [a, b] = await Promise.all([restore(), restore()]);
      await Promise.all([a.resume(signal()), b.resume(signal())]);
      await setTimeout(runMs);
      await Promise.all([a.stop(), b.stop()]);
      expect(await hashOf(image())).toBe(before);
    });

    it("gives a guest the very bytes of its image, and changes no more than restoring takes", async () => {
      const read = async (memory: GuestMemory) =>
        readRestoredMemory((await restore({ memory })).pid, memory.image, signal());
      const { digest, changedPages } = await read(base());
      expect(digest).toBe(await hashOf(image()));
      expect(changedPages).toBeLessThanOrEqual(vmm.restoreWritesPages(SHAPE));

      const flipped = join(root, "flipped");
      await copyFile(image(), flipped);
      await flipByte(flipped, MEMORY_BYTES / 2 + 123);
      const { header } = base().layers;
      const other = await read({ image: flipped, layers: { header, builds: { base: flipped } } });
      expect(other.digest).toBe(await hashOf(flipped));
      expect(other.digest).not.toBe(digest);
    });

    it("restores, over many generations, exactly the memory that was captured", async () => {
      let from: Pick<RestoreSpec, "statePath" | "memory"> = { statePath: state(), memory: base() };
      for (let generation = 1; generation <= 3; generation++) {
        const vm = await restore(from);
        await vm.resume(signal());
        await setTimeout(runMs);
        await vm.pause(signal());
        const captured = await capture(vm, from.memory);
        expect(captured.layer).toMatchObject({ generation, size: MEMORY_BYTES });
        expect(captured.layer.dataBytes).toBeGreaterThan(0);
        const truth = await memoryOf(vm, image());
        await vm.stop();
        ({ from } = captured);

        const clone = await restore(from);
        // Nothing ran: nothing differs from the layer that it was restored from.
        expectNothing((await capture(clone, from.memory)).layer);
        expectMemory(await memoryOf(clone, image()), truth);
        await clone.stop();
        const flat = { buildId: `flat${generation}`, memory: join(root, "flat"), header: join(root, "flat.header") };
        await pager.flatten(flat, from.memory.layers, signal());
        expectMemory(await readFile(flat.memory), truth, 0);
        await Promise.all([rm(flat.memory), rm(flat.header)]);
      }
    });

    it.runIf(traits.isPaged)("is given ahead what it asked for the last time, and no other memory by it", async () => {
      const run = async (from?: Partial<RestoreSpec>): Promise<VirtualMachine> => {
        const vm = await restore(from);
        await vm.resume(signal());
        await setTimeout(runMs);
        await vm.pause(signal());
        return vm;
      };
      const served = async (vm: VirtualMachine) => await vm.servedPages(signal());
      const workingSet = join(root, "working-set");
      const first = await run();
      expect(await first.saveWorkingSet(workingSet, signal())).toBe(false); // it has mapped its image
      const flat = await capture(first, base());
      await first.stop();

      const second = await run(flat.from);
      expect((await served(second))?.demanded).toBeGreaterThan(0);
      expect((await served(second))?.replayed).toBe(0);
      second.detach();
      const adopted = (await vmm.adopt(second.record, signal())) as VirtualMachine;
      live.splice(live.indexOf(second), 1, adopted);
      expect(await adopted.saveWorkingSet(workingSet, signal())).toBe(true);
      const { from } = await capture(adopted, flat.from.memory);
      const truth = await memoryOf(adopted, image());
      await adopted.stop();

      const third = await restore({ ...from, workingSet });
      await vi.waitFor(async () => expect((await served(third))?.replayed).toBeGreaterThan(0), { timeout: 20_000 });
      expectNothing((await capture(third, from.memory)).layer);
      expectMemory(await memoryOf(third, image()), truth);
      await third.stop();

      await flipByte(workingSet, 20);
      const fourth = await restore({ ...from, workingSet });
      expectMemory(await memoryOf(fourth, image()), truth);
      expect((await served(fourth))?.replayed).toBe(0);
    });

    it("goes on after a capture, and the next one has only what came after", async () => {
      const vm = await restore();
      await vm.resume(signal());
      await setTimeout(runMs);
      await vm.pause(signal());
      const first = await capture(vm, base());
      const second = await capture(vm, first.from.memory);
      expect(second.layer.generation).toBe(2);
      expectNothing(second.layer);
      await vm.resume(signal());
      await setTimeout(runMs);
      await vm.pause(signal());
      const third = await capture(vm, second.from.memory);
      expect(third.layer.dataBytes).toBeGreaterThan(0);
      const truth = await memoryOf(vm, image());
      await vm.stop();
      const clone = await restore(third.from);
      await capture(clone, third.from.memory);
      expectMemory(await memoryOf(clone, image()), truth);
    });

    it("has all that changed in the next capture when one did not become a layer, after it was adopted too", async () => {
      const vm = await restore();
      await vm.resume(signal());
      await setTimeout(runMs);
      await vm.pause(signal());
      await capture(vm, base(), { isCommitted: false });
      await vm.resume(signal());
      vm.detach();
      const adopted = (await vmm.adopt(vm.record, signal())) as VirtualMachine;
      live.splice(live.indexOf(vm), 1, adopted);
      await adopted.pause(signal());
      const second = await capture(adopted, base());
      expect(second.layer.generation).toBe(1);
      expectNothing((await capture(adopted, second.from.memory)).layer); // and only differences from here on
      const truth = await memoryOf(adopted, image());
      await adopted.stop();
      // The same of one that may have most of its memory still to come.
      const clone = await restore(second.from);
      expectNothing((await capture(clone, second.from.memory, { isCommitted: false })).layer);
      const { from } = await capture(clone, second.from.memory);
      await clone.stop();
      expectMemory(await memoryOf(await restore(from), image()), truth, 2 * vmm.restoreWritesPages(SHAPE));
    });

    it.runIf(disks.sealCopy !== undefined)(
      "has a disk whose store copies it, and cannot be given another",
      async () => {
        const vm = await restore();
        const { diskPath } = vm.record;
        await expect(vm.switchDisk({ path: "/elsewhere", backingPaths: [] }, signal())).rejects.toThrow(
          "cannot do that",
        );
        expect(await vm.currentDiskPath(signal())).toBe(diskPath);
      },
    );

    it.skipIf(disks.sealCopy !== undefined)(
      "writes to another disk from one moment on, and knows which after it was adopted",
      async () => {
        const placement = await place();
        const vm = await restore(placement);
        const first = { path: placement.diskPath, format: "qcow2", backingPaths: placement.diskBackingPaths } as const;
        const directory = placement.diskDirectory as string;
        const next = await disks.create(
          { id: "next", directory, base: first, sizeBytes: DISK_BYTES, uid: UID },
          signal(),
        );
        await vm.pause(signal());
        expect(await vm.currentDiskPath(signal())).toBe(first.path);
        await vm.switchDisk(next, signal());
        await disks.lock(first);
        const { mtimeMs } = await stat(first.path);
        await vm.resume(signal());
        vm.detach();
        const adopted = (await vmm.adopt(vm.record, signal())) as VirtualMachine;
        expect(await adopted.currentDiskPath(signal())).toBe(next.path);
        await setTimeout(runMs);
        await adopted.pause(signal());
        await expect(
          adopted.switchDisk({ path: join(directory, "missing"), backingPaths: [] }, signal()),
        ).rejects.toThrow("missing");
        expect(await adopted.currentDiskPath(signal())).toBe(next.path);
        await adopted.stop();
        live.splice(live.indexOf(vm), 1);
        expect((await stat(first.path)).mtimeMs).toBe(mtimeMs);
        await disks.check(next, signal());
      },
    );

    it("tells at once that a VM was killed, to who adopted it too", async () => {
      const first = await restore();
      const { pid, record } = first;
      first.detach();
      const adopted = await vmm.adopt(record, signal());
      expect(adopted?.pid).toBe(pid);
      process.kill(pid, "SIGKILL");
      expect(await adopted?.exited).toMatchObject({ kind: "signal", signal: "SIGKILL" });
      expect(await vmm.adopt(record, signal())).toBeUndefined();
      expect(await adopted?.stop()).toMatchObject({ kind: "signal" });
      live.splice(live.indexOf(first), 1); // let go of
    });

    it("refuses a damaged state and leaves no process", async () => {
      const damaged = join(root, "damaged");
      const bytes = await readFile(state());
      const file = await open(damaged, "w");
      await file.writeFile(bytes.subarray(0, bytes.length - 2000));
      await file.close();
      const spec = { ...(await place()), shape: SHAPE, memory: base(), statePath: damaged };
      await expect(vmm.restore(spec, signal())).rejects.toThrow(/Cannot (restore|start|PUT)/);
      expect(
        await vmm.adopt({ vmm: vmm.kind, origin: "restored", memoryPath: image(), ...spec }, signal()),
      ).toBeUndefined();
    });

    it("ends a start that is canceled, and leaves no process", async () => {
      const controller = new AbortController();
      const spec = { ...(await place()), shape: SHAPE, memory: base(), statePath: state() };
      const starting = vmm.restore(spec, controller.signal);
      await setTimeout(20);
      controller.abort(new Error("canceled by the test"));
      await expect(starting).rejects.toThrow("canceled by the test");
      expect(
        await vmm.adopt({ vmm: vmm.kind, origin: "restored", memoryPath: image(), ...spec }, signal()),
      ).toBeUndefined();
    });
  });
}

async function hashOf(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}

function differingPages(a: Buffer, b: Buffer): number[] {
  expect(a.length).toBe(b.length);
  return Array.from({ length: a.length / PAGE_BYTES }, (_, page) => page).filter(
    (page) =>
      a.compare(b, page * PAGE_BYTES, (page + 1) * PAGE_BYTES, page * PAGE_BYTES, (page + 1) * PAGE_BYTES) !== 0,
  );
}

/** For VMMs that map the image: all memory of a guest, read out of its process. */
export async function memoryOfProcess({ pid }: VirtualMachine, imagePath: string): Promise<Buffer> {
  const { ino } = await stat(imagePath);
  const parts = (await readFile(`/proc/${pid}/maps`, "utf8"))
    .split("\n")
    .map((line) => /^([0-9a-f]+)-([0-9a-f]+) \S+ ([0-9a-f]+) \S+ (\d+)\s/.exec(line))
    .filter((fields) => fields !== null && Number(fields[4]) === ino)
    .map(
      (fields) => (fields as string[]).slice(1, 4).map((hex) => Number.parseInt(hex, 16)) as [number, number, number],
    )
    .toSorted((a, b) => a[2] - b[2]);
  const read: Buffer[] = [];
  const memory = await open(`/proc/${pid}/mem`, "r");
  try {
    for (const [start, end] of parts) {
      for (let at = start; at < end;) {
        const chunk = Buffer.alloc(Math.min(READ_BYTES, end - at));
        const { bytesRead } = await memory.read(chunk, 0, chunk.length, at);
        read.push(chunk.subarray(0, bytesRead));
        at += bytesRead;
      }
    }
  } finally {
    await memory.close();
  }
  return Buffer.concat(read);
}
