/** Runs in the testbed, where the kernel has device-mapper: `./wrenn test --only nested`. */
import { mkdir, mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll } from "vitest";
import { run } from "@wrenn/effects";
import { leakGate } from "../../../../../tests/leaks/gate.ts";
import { describeDiskStoreContract } from "../disk-store-contract.ts";
import { DeviceMapperStore } from "./device-mapper-store.ts";

const MIB = 1024 * 1024;

let root: string;
/** A file system that shares no blocks: there, disks on sealed ones are stacked. */
let ext4: string;

beforeAll(async () => {
  root = await mkdtemp(join(tmpdir(), "wrenn-dm-"));
  ext4 = join(root, "ext4");
  await mkdir(ext4);
  const image = join(root, "ext4.img");
  const file = await open(image, "wx");
  await file.truncate(512 * MIB);
  await file.close();
  await run(["mkfs.ext4", "-q", image]);
  await run(["mount", "-o", "loop", image, ext4]);
});
afterAll(async () => {
  await run(["umount", ext4]);
  await rm(root, { recursive: true, force: true });
});

leakGate();

describeDiskStoreContract(
  "device-mapper with reflinks",
  () => new DeviceMapperStore(),
  () => root,
);
// Without KVM a contract takes minutes.
if (process.env["WRENN_TEST_FULL"] === "1") {
  describeDiskStoreContract(
    "device-mapper without reflinks",
    () => new DeviceMapperStore(),
    () => ext4,
  );
}
