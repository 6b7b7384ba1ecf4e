/** Turns what apt and dpkg say into bytes downloaded and packages installed. */
import type { GuestProgress } from "./progress.ts";

/** A listener for the lines of `mmdebstrap --verbose`. */
export function reportInstall(progress: Pick<GuestProgress, "update">): (line: string) => void {
  let bytes = 0;
  let totalBytes = 0;
  let packages = 0;
  let totalPackages = 0;
  return (line) => {
    const need = /^Need to get ([\d.,]+) ([kMG]?)B/.exec(line);
    const got = /^Get:\d+ .* \[([\d.,]+) ([kMG]?)B\]$/.exec(line);
    const count = /, (\d+) newly installed/.exec(line);
    if (count !== null) totalPackages += Number(count[1]);
    if (need !== null) totalBytes += aptBytes(need[1], need[2]);
    if (got !== null) {
      bytes += aptBytes(got[1], got[2]);
      progress.update(Math.min(bytes, totalBytes), totalBytes); // apt rounds the total
    }
    if (line.startsWith("Setting up ")) {
      packages += 1;
      progress.update(packages, totalPackages, "packages");
    }
  };
}

/** apt counts in powers of ten. */
function aptBytes(value = "0", prefix = ""): number {
  const factor = { "": 1, k: 1e3, M: 1e6, G: 1e9 }[prefix] ?? 1;
  return Number(value.replaceAll(",", "")) * factor;
}
