import { expect, it } from "vitest";
import { defectsOf, requireSupported } from "./firecracker-versions.ts";

it("refuses versions whose Diff snapshots are wrong, and what is no version", () => {
  for (const version of ["1.15.0", "1.16.1", "1.17.0-dev", "2.0.0"])
    expect(() => requireSupported(version)).not.toThrow();
  for (const version of ["1.14.4", "0.25.0", "unknown"])
    expect(() => requireSupported(version)).toThrow("oldest supported");
});

it("names the defects that a version still has", () => {
  expect(defectsOf("1.15.1").map(({ issue }) => issue)).toEqual([5882, 5958, 6100, 6174]);
  expect(defectsOf("1.16.1").map(({ issue }) => issue)).toEqual([6100, 6174]);
});
