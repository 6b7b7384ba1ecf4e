import * as fs from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { storedBytes } from "./stored-bytes.ts";

let root: string;
const paths = () => ({ root, vm: join(root, "vm"), layers: join(root, "layers"), disks: join(root, "disks") });

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
});
