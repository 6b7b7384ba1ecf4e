/** The contract of a VMM on Firecracker and device-mapper, in the testbed: docs/reference/firecracker.md. */
import { readGuestManifest } from "@wrenn/guest";
import { describe } from "vitest";
import { DeviceMapperStore } from "../../disk/device-mapper/device-mapper-store.ts";
import { hasFirecracker, memoryOfFirecracker, openFirecracker } from "../../testing/firecracker.ts";
import { describeVmmContract } from "../vmm-contract.ts";

const SHARED_DIRECTORY = process.env["WRENN_TEST_GUEST_DIR"] ?? "/var/lib/wrenn-test";

describe.skipIf(!hasFirecracker())("on KVM", () => {
  describeVmmContract(
    "Firecracker",
    async (pager) => ({
      vmm: await openFirecracker("/tmp", pager),
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
});
