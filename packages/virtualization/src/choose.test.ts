import { describe, expect, it } from "vitest";
import { choose, type Wishes } from "./choose.ts";
import type { KeptChoice } from "./kept-choice.ts";
import type { Machine } from "./machine.ts";

const EVERYTHING: Machine = {
  acceleration: { accelerator: "kvm", reason: "tested" },
  firecracker: { program: "/usr/bin/firecracker", version: "1.16.1", lack: undefined, jailer: undefined },
  deviceMapperLack: undefined,
};
const NO_DEVICE_MAPPER: Machine = { ...EVERYTHING, deviceMapperLack: "the kernel has no device-mapper" };
const NO_FIRECRACKER: Machine = { ...EVERYTHING, firecracker: { ...EVERYTHING.firecracker, lack: "it is gone" } };
const WRONG_JAILER: Machine = {
  ...EVERYTHING,
  firecracker: { ...EVERYTHING.firecracker, jailer: { program: "/usr/bin/jailer", lack: "it is of 1.15.0" } },
};
const QEMU = { vmm: "qemu", disks: "qcow2" } as const;
const QEMU_ON_DEVICE_MAPPER = { vmm: "qemu", disks: "device-mapper" } as const;
const FIRECRACKER = { vmm: "firecracker", disks: "device-mapper" } as const;
const NO_WISH: Wishes = { vmm: undefined, disks: undefined };

const pair = (wishes: Partial<Wishes>, machine: Machine, kept?: KeptChoice): string => {
  const { vmm, disks, refusal } = choose({ ...NO_WISH, ...wishes }, kept, machine);
  return refusal === undefined ? `${vmm.kind} on ${disks.kind}` : refusal.code;
};

describe("the VMM and the disks of a machine", () => {
  it.each([
    ["Firecracker where everything is there", {}, EVERYTHING, "firecracker on device-mapper"],
    ["QEMU without device-mapper", {}, NO_DEVICE_MAPPER, "qemu on qcow2"],
    ["QEMU where Firecracker cannot run", {}, NO_FIRECRACKER, "qemu on qcow2"],
    ["QEMU where it is asked for", { vmm: "qemu" }, EVERYTHING, "qemu on qcow2"],
    ["QEMU where qcow2 is asked for", { disks: "qcow2" }, EVERYTHING, "qemu on qcow2"],
    ["both as they are asked for", { vmm: "qemu", disks: "device-mapper" }, EVERYTHING, "qemu on device-mapper"],
    ["QEMU on device-mapper", { disks: "device-mapper" }, NO_FIRECRACKER, "qemu on device-mapper"],
    ["no Firecracker without device-mapper", { vmm: "firecracker" }, NO_DEVICE_MAPPER, "missing_requirement"],
    ["no Firecracker where it cannot run", { vmm: "firecracker" }, NO_FIRECRACKER, "missing_requirement"],
    ["nothing with a jailer that cannot be used", {}, WRONG_JAILER, "missing_requirement"],
    ["QEMU whatever Firecracker's jailer is", { vmm: "qemu" }, WRONG_JAILER, "qemu on qcow2"],
    ["no Firecracker on qcow2", { vmm: "firecracker", disks: "qcow2" }, EVERYTHING, "invalid_request"],
    ["no device-mapper where there is none", { disks: "device-mapper" }, NO_DEVICE_MAPPER, "missing_requirement"],
  ] as const)("%s", (_name, wishes, machine, expected) => {
    expect(pair(wishes, machine)).toBe(expected);
  });

  it.each([
    ["stays QEMU", {}, EVERYTHING, QEMU, "qemu on qcow2"],
    ["stays QEMU on device-mapper", {}, EVERYTHING, QEMU_ON_DEVICE_MAPPER, "qemu on device-mapper"],
    ["changes when it is asked for", { vmm: "firecracker" }, EVERYTHING, QEMU, "firecracker on device-mapper"],
    ["stays Firecracker", {}, EVERYTHING, FIRECRACKER, "firecracker on device-mapper"],
    ["cannot stay Firecracker without it", {}, NO_FIRECRACKER, FIRECRACKER, "qemu on qcow2"],
    ["cannot stay on device-mapper without it", {}, NO_DEVICE_MAPPER, QEMU_ON_DEVICE_MAPPER, "qemu on qcow2"],
  ] as const)("%s while there are sandboxes", (_name, wishes, machine, kept, expected) => {
    expect(pair(wishes, machine, kept)).toBe(expected);
  });

  it("says why", () => {
    expect(choose(NO_WISH, undefined, NO_DEVICE_MAPPER).vmm.why).toBe(
      "Firecracker cannot: it needs device-mapper: the kernel has no device-mapper",
    );
    expect(choose({ ...NO_WISH, vmm: "firecracker" }, undefined, NO_FIRECRACKER).refusal?.message).toContain(
      "it is gone",
    );
  });
});
