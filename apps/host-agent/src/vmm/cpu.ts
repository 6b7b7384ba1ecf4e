/** The host's CPU, for compatibility keys: a guest's memory remembers what it ran on. */
import { readFile } from "node:fs/promises";
import { run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";

/** As one line: model and stepping. */
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
