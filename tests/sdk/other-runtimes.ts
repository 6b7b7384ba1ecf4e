/**
 * Deno and Bun, from their npm packages, below node_modules/.cache. They are fetched when they are first
 * needed, by the full run only: two hundred megabytes that nothing else uses.
 */
import { existsSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { remove, run, waitForLock } from "../../packages/effects/src/index.ts";

const PACKAGES = { deno: "@deno/linux-x64-glibc@2.9.6", bun: "@oven/bun-linux-x64@1.4.5" };
const CACHE = join(import.meta.dirname, "../../node_modules/.cache");
const INSTALL_TIMEOUT_MS = 300_000;

/** @returns how a module is run */
export async function otherRuntimes(signal: AbortSignal): Promise<Record<"deno" | "bun", [string, ...string[]]>> {
  const home = join(
    CACHE,
    `runtimes-${Object.values(PACKAGES)
      .join("-")
      .replaceAll(/[^\w.]/g, "-")}`,
  );
  const stamp = join(home, "installed");
  await mkdir(CACHE, { recursive: true });
  await using _lock = await waitForLock(`${home}.lock`, signal);
  if (!existsSync(stamp)) {
    await remove(home);
    const flags = ["--ignore-scripts", "--no-audit", "--no-fund"];
    const packages = Object.values(PACKAGES);
    await run(["npm", "install", "--prefix", home, ...flags, ...packages], { timeoutMs: INSTALL_TIMEOUT_MS, signal });
    await writeFile(stamp, "");
  }
  const packages = join(home, "node_modules");
  return {
    deno: [join(packages, "@deno/linux-x64-glibc/deno"), "run", "--allow-net", "--allow-env"],
    bun: [join(packages, "@oven/bun-linux-x64/bin/bun"), "run"],
  };
}
