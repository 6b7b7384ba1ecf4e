/** Whether this machine can run virtual machines inside virtual machines on its hardware. */
import { constants } from "node:fs";
import { access, readFile } from "node:fs/promises";

/** KVM with nested virtualization on; else QEMU's TCG, which emulates AMD's SVM. */
export async function nestedAcceleration(): Promise<"kvm" | "tcg"> {
  const vendor = /^flags\s*:.*\s(vmx|svm)(?:\s|$)/m.exec(await readFile("/proc/cpuinfo", "utf8"))?.[1];
  if (vendor === undefined) return "tcg";
  try {
    await access("/dev/kvm", constants.R_OK | constants.W_OK);
    const module = vendor === "vmx" ? "kvm_intel" : "kvm_amd";
    const nested = await readFile(`/sys/module/${module}/parameters/nested`, "utf8");
    return /^[Y1]/.test(nested) ? "kvm" : "tcg";
  } catch {
    return "tcg";
  }
}
