/** The pager of a host agent: it sees the state directory, and the golden snapshots wherever they are. */
import { mkdir, realpath } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "pino";
import { PAGER_PATH } from "../binaries.ts";
import { Pager } from "./pager.ts";

export async function openPager(
  { stateDirectory, log }: { stateDirectory: string; log: Logger },
  signal: AbortSignal,
): Promise<Pager> {
  const golden = join(stateDirectory, "golden");
  await mkdir(golden, { recursive: true, mode: 0o700 });
  // Layers name golden files by their real path, which a link may lead out of the state directory.
  const roots = [...new Set([stateDirectory, await realpath(golden)])];
  const pager = await Pager.open({ program: PAGER_PATH, stateDirectory, roots, log }, signal);
  for (const { path, exactHoles } of pager.health.roots) {
    if (!exactHoles)
      log.warn({
        operation: "pager.holes",
        path,
        msg: "the file system does not report holes exactly: a layer that a VMM writes as a sparse file is refused there",
      });
  }
  return pager;
}
