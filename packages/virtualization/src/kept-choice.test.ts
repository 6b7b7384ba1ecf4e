import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { keepChoice, readKeptChoice } from "./kept-choice.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-kept-choice-"));
});
afterEach(async () => {
  await rm(directory, { recursive: true });
});

it("remembers what sandboxes and templates were made with, for as long as there are any", async () => {
  const choice = { vmm: "firecracker", disks: "device-mapper" } as const;
  expect(await readKeptChoice(directory)).toBeUndefined();
  await keepChoice(directory, choice);
  expect(await readKeptChoice(directory)).toBeUndefined();
  await mkdir(join(directory, "templates/one"), { recursive: true });
  expect(await readKeptChoice(directory)).toEqual(choice);
  await rm(join(directory, "templates/one"), { recursive: true });
  expect(await readKeptChoice(directory)).toBeUndefined();
});

it("takes what nothing was written about for QEMU's, which was all there was", async () => {
  await mkdir(join(directory, "sandboxes/one"), { recursive: true });
  expect(await readKeptChoice(directory)).toEqual({ vmm: "qemu", disks: "qcow2" });
});
