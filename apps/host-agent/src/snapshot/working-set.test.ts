import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { memoryPathOf, SNAPSHOT_FORMAT, type Layer } from "./layer.ts";
import { findWorkingSet, shareWorkingSet, workingSetPathOf } from "./working-set.ts";

let root: string;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "wrenn-working-set-"));
});
afterEach(() => rm(root, { recursive: true }));

/** A layer over the memory in another directory. */
async function layerOver(name: string, image: string | undefined): Promise<Layer> {
  const directory = join(root, name);
  await mkdir(directory, { recursive: true });
  const sums = { checksum: "crc32:0", stateChecksum: "crc32:0" };
  const counts = { dataBytes: 0, zeroBytes: 0, accumulatedBytes: 0 };
  const memory = image === undefined ? {} : { memory: { image, builds: {}, ...sums, ...counts } };
  const shape = { vcpus: 1, memoryMib: 128 };
  const disk = { path: "/disk", format: "raw", backingPaths: [], checksum: "crc32:0" } as const;
  const meta = { buildId: name, generation: 1, shape, compatibility: {}, disk, createdAt: "" };
  return { directory, meta: { version: SNAPSHOT_FORMAT, ...meta, ...memory } };
}
const write = async (name: string): Promise<void> => await writeFile(workingSetPathOf(join(root, name)), name);

it("is the layer's own, else that of the image below it, else none", async () => {
  const template = await layerOver("template", memoryPathOf(join(root, "template")));
  const layer = await layerOver("layer", memoryPathOf(template.directory));
  const ofDisk = await layerOver("disk-only", undefined);
  expect(await findWorkingSet(layer)).toBeUndefined();
  await write("template");
  expect(await findWorkingSet(layer)).toBe(workingSetPathOf(template.directory));
  expect(await findWorkingSet(template)).toBe(workingSetPathOf(template.directory));
  await write("layer");
  expect(await findWorkingSet(layer)).toBe(workingSetPathOf(layer.directory));
  expect(await findWorkingSet(ofDisk)).toBeUndefined();
  await rm(root, { recursive: true });
  expect(await findWorkingSet(layer)).toBeUndefined();
  await mkdir(root);
});

it("is shared as it is; where there is none, nothing happens", async () => {
  const [from, to] = [await layerOver("from", undefined), await layerOver("to", undefined)];
  await shareWorkingSet(from.directory, to.directory);
  expect(await findWorkingSet(to)).toBeUndefined();
  await write("from");
  await shareWorkingSet(from.directory, to.directory);
  expect(await readFile(workingSetPathOf(to.directory), "utf8")).toBe("from");
});
