/**
 * A disk from its creation to its end, as a process that a test kills on the way: directory, base, bytes. It says
 * `sealed` when what it wrote must survive whatever comes.
 */
import { open } from "node:fs/promises";
import { DeviceMapperStore } from "../device-mapper-store.ts";

const [directory = "", path = "", bytes = ""] = process.argv.slice(2);
const signal = AbortSignal.timeout(60_000);
const store = new DeviceMapperStore();
const base = { path, format: "raw", backingPaths: [] } as const;
const disk = await store.create({ id: "d", directory, base, sizeBytes: Number(bytes), uid: 65_534 }, signal);
const device = await open(disk.device ?? "", "r+");
await device.write(Buffer.alloc(256 * 1024, 0x55), 0, 256 * 1024, 0);
await device.close();
const copy = await store.sealCopy(disk, { id: "copy", directory }, signal);
await store.lock(await store.seal(disk, signal));
process.stdout.write("sealed\n");
await store.remove(copy);
