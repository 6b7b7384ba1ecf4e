import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { storedBytes } from "./stored-bytes.ts";

let root: string;
const pathsIn = (directory: string) => ({
  root: directory,
  vm: join(directory, "vm"),
  layers: join(directory, "layers"),
  disks: join(directory, "disks"),
});
const paths = () => pathsIn(root);

beforeEach(async () => {
  root = await fs.mkdtemp(join(tmpdir(), "stored-bytes-"));
});
afterEach(async () => await fs.rm(root, { recursive: true }));

describe("storedBytes()", () => {
  it("counts the blocks of layers and their disks: no holes, nothing of the VM, and not the disk that it writes", async () => {
    expect(await storedBytes(paths(), undefined)).toBe(0);
    const { layers, disks, vm } = paths();
    for (const directory of [join(layers, "bld_1"), disks, vm]) await fs.mkdir(directory, { recursive: true });
    await fs.writeFile(join(layers, "bld_1/mem"), Buffer.alloc(64_000, 1));
    await fs.truncate(join(layers, "bld_1/mem"), 1_000_000_000);
    await fs.writeFile(join(disks, "sealed"), Buffer.alloc(8_192, 1));
    await fs.writeFile(join(vm, "console.log"), Buffer.alloc(100_000, 1));
    const live = join(disks, "live");
    await fs.writeFile(live, Buffer.alloc(500_000, 1));
    const kept = await storedBytes(paths(), live);
    expect([kept >= 72_192, kept < 150_000]).toEqual([true, true]);
    expect((await storedBytes(paths(), undefined)) - kept).toBeGreaterThanOrEqual(500_000);
  });

  it("counts what two have by a hard link once in all, and wholly with the last of them", async () => {
    const [source, child] = [pathsIn(join(root, "source")), pathsIn(join(root, "child"))];
    for (const { layers } of [source, child]) await fs.mkdir(join(layers, "bld_1"), { recursive: true });
    const state = join(source.layers, "bld_1/vmstate");
    await fs.writeFile(state, Buffer.alloc(64 * 1024, 1));
    const alone = await storedBytes(source, undefined);
    await fs.link(state, join(child.layers, "bld_1/vmstate"));
    const [first, second] = [await storedBytes(source, undefined), await storedBytes(child, undefined)];
    expect([first, second]).toEqual([alone / 2, alone / 2]);
    await fs.rm(source.root, { recursive: true });
    expect(await storedBytes(child, undefined)).toBe(alone);
  });
});
