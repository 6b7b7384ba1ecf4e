/** Pools of tests: slots far above those of a platform on the same machine, and a log that is kept. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { NetworkPoolOptions } from "../../apps/host-agent/src/network/pool.ts";
import type { Inventory, Kind } from "../leaks/index.ts";
import { takeInventory } from "../leaks/index.ts";

/** One line of a pool's log. */
export interface LogLine {
  level: string;
  fields: Record<string, unknown>;
  message: string;
}

/** First slots of tests, apart from each other so that two of them can be there at once. */
export const FIRST_INDEX = 30_000;
export const SECOND_INDEX = 30_100;

/** Options of a small pool in a new state directory. */
export function poolOptions(
  options: Partial<NetworkPoolOptions> & { uplink: string },
): NetworkPoolOptions & { log: LogLine[] } {
  const log: LogLine[] = [];
  const write = (level: string) => (fields: unknown, message?: string) => {
    log.push({ level, fields: fields as Record<string, unknown>, message: message ?? "" });
  };
  return {
    stateDirectory: mkdtempSync(join(tmpdir(), "wrenn-network-")),
    firstIndex: FIRST_INDEX,
    count: 50,
    readyCount: 0,
    uidFirst: 2_000_000,
    resolvers: [],
    logger: { debug: write("debug"), info: write("info"), warn: write("warn"), error: write("error") },
    log,
    ...options,
  };
}

/** What there is of these tests now; other work on the machine does not count. */
export async function takeNetworkInventory(directories: readonly string[] = []): Promise<Inventory> {
  return takeInventory({ directories, programs: [], ignore: (kind, item) => !isOfTheseTests(kind, item) });
}

function isOfTheseTests(kind: Kind, item: string): boolean {
  if (kind === "process") return !/qemu|wrenn-shim|firecracker|postgres/.test(item);
  if (kind === "network setting") return /ip_forward|conf\/(wnt|wrn30)/.test(item);
  return /wrenn_?-?30\d{3}|wrn30\d{3}|wguest30|wnt|wrenn-network/.test(item);
}
