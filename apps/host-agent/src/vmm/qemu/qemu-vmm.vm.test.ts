import { Qcow2Store } from "../../disk/qcow2/qcow2-store.ts";
import { prepareGuestAndVmm } from "../../testing/host-fixture.ts";
import { describeVmmContract, memoryOfProcess } from "../vmm-contract.ts";

describeVmmContract("QEMU", prepareGuestAndVmm, {
  disks: new Qcow2Store(),
  memoryMib: 256,
  bootMs: 3_000,
  runMs: 700,
  deadlineMs: 60_000,
  isPaged: false,
  memoryOf: memoryOfProcess,
});
