import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { modulesInLoadOrder } from "./kernel-modules.ts";

let directory: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "wrenn-modules-"));
  await mkdir(join(directory, "kernel/drivers"), { recursive: true });
  await writeFile(join(directory, "modules.builtin"), "kernel/fs/ext4/ext4.ko\nkernel/lib/crc-t10dif.ko\n");
});

afterEach(() => rm(directory, { recursive: true }));

async function module(name: string, depends: string): Promise<void> {
  await writeFile(
    join(directory, "kernel/drivers", `${name}.ko`),
    `\u007fELF\0license=GPL\0depends=${depends}\0intree=Y\0`,
  );
}

describe("modulesInLoadOrder()", () => {
  it("puts dependencies first, each once", async () => {
    await module("virtio_blk", "virtio,virtio_ring");
    await module("virtio", "virtio_ring");
    await module("virtio_ring", "");
    const modules = await modulesInLoadOrder(directory, ["virtio_blk", "virtio"]);
    expect(modules.map((entry) => entry.name)).toEqual(["virtio_ring", "virtio", "virtio_blk"]);
  });

  it("leaves out what is built in, whether wanted or depended on", async () => {
    await module("virtio-scsi", "crc_t10dif");
    const modules = await modulesInLoadOrder(directory, ["ext4", "virtio_scsi"]);
    expect(modules.map((entry) => entry.name)).toEqual(["virtio_scsi"]);
  });

  it("says which module is missing", async () => {
    await expect(modulesInLoadOrder(directory, ["virtio_net"])).rejects.toThrow(
      "Cannot find the kernel module virtio_net",
    );
  });
});
