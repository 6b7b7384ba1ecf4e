/**
 * What a new agent finds of a disk after the power was cut: directory, base, bytes. It says `content` when the disk can
 * be built on and holds what was written; then everything is removed, and nothing may be left.
 */
import { open, readdir } from "node:fs/promises";
import { join } from "node:path";
import { mappedDevices } from "../block-devices.ts";
import { DeviceMapperStore } from "../device-mapper-store.ts";

const [directory = "", image = "", bytes = ""] = process.argv.slice(2);
const signal = AbortSignal.timeout(60_000);
const store = new DeviceMapperStore();
await store.sweep(directory, []);
const base = { path: join(directory, "d.cow"), format: "dm-snapshot", backingPaths: [image] } as const;
try {
  const disk = await store.create({ id: "next", directory, base, sizeBytes: Number(bytes), uid: 65_534 }, signal);
  const device = await open(disk.device ?? "", "r");
  const { buffer } = await device.read(Buffer.alloc(256 * 1024), 0, 256 * 1024, 0);
  await device.close();
  if (buffer.every((byte) => byte === 0x55)) process.stdout.write("content\n");
} catch (error) {
  process.stdout.write(`${String(error)}\n`); // one that was never sealed may be anything
}
for (const id of ["next", "copy", "d"]) await store.remove({ path: join(directory, `${id}.cow`) });
process.stdout.write(`left ${(await mappedDevices()).length} ${(await readdir(directory)).join(" ")}\n`);
