import { prepareGuestAndVmm } from "../../testing/host-fixture.ts";
import { describeVmmContract } from "../vmm-contract.ts";

describeVmmContract("QEMU", prepareGuestAndVmm);
