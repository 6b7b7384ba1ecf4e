import { describe, expect, it } from "vitest";
import { checkCompatibility, type Layer } from "./layer.ts";

const KEY = { vmm: "qemu 7.2.22", machine: "microvm", cpu: "EPYC", tscKhz: "2100000", kernel: "a", format: "2" };
const layer = { directory: "/x", meta: { compatibility: KEY } } as unknown as Layer;

describe("checkCompatibility()", () => {
  it("takes what is equal", () => {
    expect(() => checkCompatibility(layer, { ...KEY })).not.toThrow();
  });

  it.each(Object.keys(KEY))("refuses another %s, names both, and offers a boot from the disk", (name) => {
    expect(() => checkCompatibility(layer, { ...KEY, [name]: "other" })).toThrow(
      expect.objectContaining({
        code: "incompatible_snapshot",
        message: `Cannot resume from this snapshot: ${name} was ${KEY[name as keyof typeof KEY]}, is other`,
        hint: expect.stringContaining("--cold"),
      }),
    );
  });

  it("refuses what one side does not know", () => {
    const { tscKhz: _, ...kvm } = KEY;
    expect(() => checkCompatibility(layer, kvm)).toThrow("tscKhz was 2100000, is absent");
    expect(() => checkCompatibility(layer, { ...KEY, microcode: "1" })).toThrow("microcode was absent, is 1");
  });
});
