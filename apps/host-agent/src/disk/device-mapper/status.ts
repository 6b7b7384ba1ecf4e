/**
 * What the kernel says of a snapshot (`dmsetup status`):
 * https://docs.kernel.org/admin-guide/device-mapper/snapshot.html
 */
import { WrennError } from "@wrenn/errors";

export type SnapshotStatus =
  | { state: "valid"; usedBytes: number; totalBytes: number }
  /** Every access fails from then on: the CoW file was full, or could not be written. */
  | { state: "invalid" }
  | { state: "overflow" };

/** @param line `0 65536 snapshot 16/131352 16`, `0 65536 snapshot Invalid` */
export function parseStatus(line: string): SnapshotStatus {
  const [, , target, fill = ""] = line.trim().split(/\s+/);
  const [, used, total] = /^(\d+)\/(\d+)$/.exec(fill) ?? [];
  if (target === "snapshot" && used !== undefined && total !== undefined) {
    return { state: "valid", usedBytes: Number(used) * 512, totalBytes: Number(total) * 512 };
  }
  if (target === "snapshot" && fill === "Invalid") return { state: "invalid" };
  if (target === "snapshot" && fill === "Overflow") return { state: "overflow" };
  throw new WrennError("internal", `Cannot read the status of a snapshot: ${JSON.stringify(line)}`);
}
