/**
 * Is hardware virtualization usable? `/dev/kvm` opening, and even creating a VM, proves nothing on some
 * hosts; the rule that held is both: the device opens read-write, and the CPU says vmx or svm.
 */
import { constants } from "node:fs";
import { open, readFile } from "node:fs/promises";
import { run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";

export interface Acceleration {
  accelerator: "kvm" | "tcg";
  /** Why, in words for `wrenn doctor`. */
  reason: string;
}

/** Decides by the rule above, or by the operator's word. */
export async function chooseAcceleration(override: "kvm" | "tcg" | undefined): Promise<Acceleration> {
  if (override !== undefined) return { accelerator: override, reason: `WRENN_ACCEL=${override}` };
  const flags = /^flags\s*:(.*)$/m.exec(await readFile("/proc/cpuinfo", "utf8"))?.[1] ?? "";
  if (!/ (vmx|svm)( |$)/.test(flags))
    return { accelerator: "tcg", reason: "the CPU offers no virtualization (no vmx or svm flag)" };
  try {
    await (await open("/dev/kvm", constants.O_RDWR)).close();
  } catch (error) {
    return { accelerator: "tcg", reason: `/dev/kvm cannot be opened (${(error as NodeJS.ErrnoException).code})` };
  }
  return { accelerator: "kvm", reason: "/dev/kvm opens and the CPU offers virtualization" };
}

/** The host's CPU as one line: model and stepping, for compatibility keys. */
export async function readCpuModel(): Promise<string> {
  const text = await readFile("/proc/cpuinfo", "utf8");
  const field = (name: string): string => new RegExp(`^${name}\\s*: (.*)$`, "m").exec(text)?.[1] ?? "?";
  return [field("vendor_id"), field("cpu family"), field("model"), field("stepping"), field("model name")].join(" ");
}

/** How far two measurements of one TSC may be apart: beyond it, it is another clock. */
const TSC_TOLERANCE = 0.0005;

/**
 * The TSC frequency in kHz. A measurement differs a little each time; one that agrees with `known` (the
 * value that earlier snapshots were made with) is that value, so that they stay compatible.
 */
export async function measureTscKhz(shimPath: string, known: number | undefined, signal: AbortSignal): Promise<number> {
  const { stdout } = await run([shimPath, "tsc-khz"], { signal, timeoutMs: 10_000 });
  const measured = Number(stdout.trim());
  if (!Number.isSafeInteger(measured) || measured <= 0) {
    throw new WrennError("internal", `Cannot measure the TSC: the shim printed ${JSON.stringify(stdout.slice(0, 80))}`);
  }
  return known !== undefined && Math.abs(measured - known) / known < TSC_TOLERANCE ? known : measured;
}
