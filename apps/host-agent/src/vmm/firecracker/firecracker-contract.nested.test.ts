/** The contract of a VMM on Firecracker and device-mapper, in the testbed: docs/reference/firecracker.md. */
import { readGuestManifest } from "@wrenn/guest";
import { describe } from "vitest";
import { DeviceMapperStore } from "../../disk/device-mapper/device-mapper-store.ts";
import { hasFirecracker, jailerBinary, memoryOfFirecracker, openFirecracker } from "../../testing/firecracker.ts";
import { describeVmmContract } from "../vmm-contract.ts";

const SHARED_DIRECTORY = process.env["WRENN_TEST_GUEST_DIR"] ?? "/var/lib/wrenn-test";
const JAILER = jailerBinary();
const WAYS = [
  { name: "Firecracker", jailer: undefined },
  ...(JAILER === undefined ? [] : [{ name: "Firecracker in its jailer", jailer: JAILER }]),
];

describe.skipIf(!hasFirecracker())("on KVM", () => {
  for (const { name, jailer } of WAYS) {
    describeVmmContract(
      name,
      async (pager) => ({
        vmm: await openFirecracker("/tmp", pager, { jailer }),
        manifest: await readGuestManifest(SHARED_DIRECTORY),
      }),
      {
        disks: new DeviceMapperStore(),
        memoryMib: 160,
        bootMs: 15_000,
        runMs: 2_000,
        deadlineMs: 200_000,
        isPaged: true,
        memoryOf: memoryOfFirecracker,
      },
    );
  }
});
