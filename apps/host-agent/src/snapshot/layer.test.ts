import { describe, expect, it } from "vitest";
import { checkCompatibility, type Layer, type Loadable } from "./layer.ts";

const KEY = { vmm: "qemu 7.2.22", machine: "microvm", cpu: "EPYC", tscKhz: "2100000", kernel: "a", format: "2" };
const layer = { directory: "/x", meta: { compatibility: KEY } } as unknown as Layer;
const host = (compatibility: Record<string, string>, ...older: string[]): Loadable => ({
  compatibility,
  builds: new Set(older),
});

describe("checkCompatibility()", () => {
  it("takes what is equal", () => {
    expect(() => checkCompatibility(layer, host({ ...KEY }))).not.toThrow();
  });

  it.each(Object.keys(KEY))("refuses another %s, names both, and offers a boot from the disk", (name) => {
    expect(() => checkCompatibility(layer, host({ ...KEY, [name]: "other" }))).toThrow(
      expect.objectContaining({
        code: "incompatible_snapshot",
        message: `Cannot resume from this snapshot: ${name} was ${KEY[name as keyof typeof KEY]}, is other`,
        hint: expect.stringContaining("--cold"),
      }),
    );
  });

  it("takes what an older build wrote that was kept, and nothing else of it", () => {
    const upgraded = { ...KEY, vmm: "qemu 10" };
    expect(() => checkCompatibility(layer, host(upgraded, "qemu 10", KEY.vmm))).not.toThrow();
    expect(() => checkCompatibility(layer, host({ ...upgraded, cpu: "Xeon" }, KEY.vmm))).toThrow(
      "cpu was EPYC, is Xeon",
    );
  });

  it("refuses what one side does not know", () => {
    const { tscKhz: _, ...kvm } = KEY;
    expect(() => checkCompatibility(layer, host(kvm))).toThrow("tscKhz was 2100000, is absent");
    expect(() => checkCompatibility(layer, host({ ...KEY, microcode: "1" }))).toThrow("microcode was absent, is 1");
  });
});
