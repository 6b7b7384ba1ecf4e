import { expect, it } from "vitest";
import { stepDirectory, stepHash, type Step } from "./step.ts";

const step = (inputs: Record<string, string>, name = "kernel"): Step => ({
  name,
  detail: "",
  inputs,
  build: () => Promise.resolve(""),
});

it("names a step by its name and inputs, in whatever order they are given", () => {
  const directory = stepDirectory("/steps", step({ a: "1", b: "2" }));
  expect(directory).toMatch(/^\/steps\/kernel-[0-9a-f]{16}$/);
  expect(stepDirectory("/steps", step({ b: "2", a: "1" }))).toBe(directory);
});

it("gives another hash for any other input, also when texts move between inputs", () => {
  const hashes = [
    step({ a: "1", b: "2" }),
    step({ a: "2", b: "1" }),
    step({ a: "12", b: "" }),
    step({ a: "1", b: "2", c: "" }),
    step({ a: "1", b: "2" }, "tree"),
  ].map(stepHash);
  expect(new Set(hashes).size).toBe(hashes.length);
});
