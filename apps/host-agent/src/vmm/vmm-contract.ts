/**
 * What every VMM must do, as tests: the same for QEMU and Firecracker. Needs no network and no guest
 * agent; the guest is the template `minimal`, which goes on running without either.
 */
import { createHash } from "node:crypto";
import { chmod, chown, mkdir, mkdtemp, open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import type { GuestManifest } from "@wrenn/guest";
import { leakGate } from "../../../../tests/leaks/gate.ts";
import { Qcow2Store } from "../disk/qcow2/qcow2-store.ts";
import type { MemoryRun, RestoreSpec, VirtualMachine, Vmm, VmPlacement } from "./vmm.ts";

const MEMORY_MIB = 256;
const MEMORY_BYTES = MEMORY_MIB * 1024 * 1024;
const SHAPE = { vcpus: 1, memoryMib: MEMORY_MIB };
/** Apart from the users of real slots. */
const UID = 1_999_999;
const BOOT_MS = 3_000;
const RUN_MS = 700;

const signal = (): AbortSignal => AbortSignal.timeout(60_000);

export function describeVmmContract(name: string, make: () => Promise<{ vmm: Vmm; manifest: GuestManifest }>): void {
  describe(`${name} keeps the contract of a VMM`, () => {
    const disks = new Qcow2Store();
    const live: VirtualMachine[] = [];
    let root: string;
    let vmm: Vmm;
    let manifest: GuestManifest;
    let sequence = 0;
    const image = (): string => join(root, "image");
    const state = (): string => join(root, "state");

    async function place(): Promise<VmPlacement> {
      const number = sequence++;
      const supervisionDirectory = join(root, `vm${number}`);
      const directory = join(supervisionDirectory, "own");
      await mkdir(directory, { recursive: true });
      await chown(directory, UID, UID);
      const path = manifest.templates.find((template) => template.name === "minimal")?.rootfsPath ?? "";
      const base = { path, format: "raw", backingPaths: [] } as const;
      const sizeBytes = 16 * 1024 ** 3;
      const disk = await disks.create(
        { id: "d", directory: supervisionDirectory, base, sizeBytes, uid: UID },
        signal(),
      );
      return {
        name: `contract-${process.pid}-${number}`,
        directory,
        supervisionDirectory,
        networkNamespace: undefined,
        tapName: undefined,
        macAddress: "02:fc:00:00:00:05",
        uid: UID,
        diskPath: disk.path,
        diskBackingPaths: disk.backingPaths,
      };
    }

    async function restore(from: Partial<RestoreSpec> = {}): Promise<VirtualMachine> {
      const spec = { ...(await place()), shape: SHAPE, memoryPath: image(), statePath: state(), ...from };
      const vm = await vmm.restore(spec, signal());
      live.push(vm);
      return vm;
    }

    async function capture(
      vm: VirtualMachine,
    ): Promise<{ statePath: string; memoryPath: string; runs: readonly MemoryRun[] }> {
      const target = { statePath: join(root, `state${sequence}`), memoryPath: join(root, `memory${sequence++}`) };
      const { runs } = await vm.capture(target, signal());
      return { ...target, runs: runs ?? [] };
    }

    beforeAll(async () => {
      ({ vmm, manifest } = await make());
      root = await mkdtemp("/tmp/wrenn-vmm-");
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
      await setTimeout(BOOT_MS);
      await vm.pause(signal());
      expect((await vm.capture({ statePath: state(), memoryPath: image() }, signal())).runs).toBeUndefined();
      expect((await vm.stop()).kind).toBe("signal");
      await chown(image(), 0, 0);
      await chmod(image(), 0o444);
    });

    leakGate();
    afterEach(async () => {
      await Promise.all(live.splice(0).map((vm) => vm.stop()));
    });

    afterAll(async () => {
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
      await setTimeout(RUN_MS);
      await Promise.all([a.stop(), b.stop()]);
      expect(await hashOf(image())).toBe(before);
    });

    it("restores, over many generations, exactly the memory that was captured", async () => {
      let from: Partial<RestoreSpec> = {};
      for (let generation = 0; generation < 3; generation++) {
        const vm = await restore(from);
        await vm.resume(signal());
        await setTimeout(RUN_MS);
        await vm.pause(signal());
        const captured = await capture(vm);
        expect(captured.runs.length).toBeGreaterThan(0);
        await vm.stop();
        from = { statePath: captured.statePath, changes: { path: captured.memoryPath, runs: captured.runs } };

        const clone = await restore(from);
        const again = await capture(clone);
        await clone.stop();
        expect(await contentHash(again.memoryPath, again.runs)).toBe(
          await contentHash(captured.memoryPath, captured.runs),
        );
      }
    });

    it("goes on after a capture, and can be captured again", async () => {
      const vm = await restore();
      await vm.resume(signal());
      await vm.pause(signal());
      const first = await capture(vm);
      await vm.resume(signal());
      await setTimeout(RUN_MS);
      await vm.pause(signal());
      const second = await capture(vm);
      const bytes = (runs: readonly MemoryRun[]): number => runs.reduce((sum, { length }) => sum + length, 0);
      expect(bytes(second.runs)).toBeGreaterThanOrEqual(bytes(first.runs));
      await vm.stop();
    });

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
      const spec = { ...(await place()), shape: SHAPE, memoryPath: image(), statePath: damaged };
      await expect(vmm.restore(spec, signal())).rejects.toThrow(/Cannot (restore|start)/);
      expect(await vmm.adopt({ vmm: vmm.kind, origin: "restored", ...spec }, signal())).toBeUndefined();
    });

    it("ends a start that is canceled, and leaves no process", async () => {
      const controller = new AbortController();
      const spec = { ...(await place()), shape: SHAPE, memoryPath: image(), statePath: state() };
      const starting = vmm.restore(spec, controller.signal);
      await setTimeout(20);
      controller.abort(new Error("canceled by the test"));
      await expect(starting).rejects.toThrow("canceled by the test");
      expect(await vmm.adopt({ vmm: vmm.kind, origin: "restored", ...spec }, signal())).toBeUndefined();
    });
  });
}

async function hashOf(path: string): Promise<string> {
  return createHash("sha256")
    .update(await readFile(path))
    .digest("hex");
}

/** Hash over (offset, bytes) of every page of the runs, zeros included. */
async function contentHash(path: string, runs: readonly MemoryRun[]): Promise<string> {
  const hash = createHash("sha256");
  const file = await open(path, "r");
  try {
    const page = Buffer.alloc(4096);
    for (const { offset, length, storageOffset } of runs) {
      for (let at = 0; at < length; at += page.length) {
        if (storageOffset === undefined) page.fill(0);
        else await file.read(page, 0, page.length, storageOffset + at);
        hash.update(`${offset + at}:`).update(page);
      }
    }
  } finally {
    await file.close();
  }
  return hash.digest("hex");
}
