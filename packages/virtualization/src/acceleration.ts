/**
 * Is hardware virtualization usable? `/dev/kvm` opening, and even creating a VM, proves nothing on some
 * hosts; the rule that held is both: the device opens read-write, and the CPU says vmx or svm.
 */
import { constants } from "node:fs";
import { open, readFile } from "node:fs/promises";

export const ACCELERATORS = ["kvm", "tcg"] as const;
export type Accelerator = (typeof ACCELERATORS)[number];

export interface Acceleration {
  accelerator: Accelerator;
  /** Why. */
  reason: string;
  /** What would bring KVM, where something may. */
  hint?: string;
}

/** @param wish the operator's word, which wins over the rule */
export async function chooseAcceleration(wish: Accelerator | undefined): Promise<Acceleration> {
  if (wish !== undefined) return { accelerator: wish, reason: `WRENN_ACCEL=${wish}` };
  const flag = /^flags\s*:.*\s(vmx|svm)(?:\s|$)/m.exec(await readFile("/proc/cpuinfo", "utf8"))?.[1];
  const error = await errorOfOpening("/dev/kvm");
  if (flag === undefined) {
    const device = error === undefined ? " (/dev/kvm opens, which alone proves nothing)" : "";
    return {
      accelerator: "tcg",
      reason: `the CPU has neither vmx nor svm${device}`,
      hint: "A machine or VM with (nested) virtualization is faster",
    };
  }
  if (error === undefined) return { accelerator: "kvm", reason: `/dev/kvm opens and the CPU has ${flag}` };
  return {
    accelerator: "tcg",
    reason: `/dev/kvm cannot be opened (${error})`,
    hint: error === "ENOENT" ? "Load the module: modprobe kvm_intel or kvm_amd" : "Run as root",
  };
}

/** For a virtual machine in which others run: KVM where it nests, else TCG, which emulates AMD's SVM. */
export async function chooseNestedAcceleration(wish?: Accelerator): Promise<Accelerator> {
  const { accelerator } = await chooseAcceleration(wish);
  if (wish !== undefined || accelerator === "tcg") return accelerator;
  const nested = await Promise.all(
    ["kvm_intel", "kvm_amd"].map((module) =>
      readFile(`/sys/module/${module}/parameters/nested`, "utf8").catch(() => "N"),
    ),
  );
  return nested.some((text) => /^[Y1]/.test(text)) ? "kvm" : "tcg";
}

/** Opens a device for reading and writing. @returns the error's name, such as `EACCES`; undefined when it opens */
export async function errorOfOpening(path: string): Promise<string | undefined> {
  try {
    await (await open(path, constants.O_RDWR)).close();
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? "error";
  }
}
