/** Pools of tests: slots far above those of a platform on the same machine, and a log that is kept. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { NetworkPoolOptions } from "../../apps/host-agent/src/network/pool.ts";
import type { Inventory, Kind } from "../leaks/index.ts";
import { takeInventory } from "../leaks/index.ts";
import { claim, unclaim } from "./claim.ts";
import { ip } from "./namespaces.ts";

/** One line of a pool's log. */
export interface LogLine {
  level: string;
  fields: Record<string, unknown>;
  message: string;
}

/** This test run's number: part of the names of what its tests make on the host. */
const RUN = claim("run", 27, removeSlots);
/** State directories of the pools that this run makes. A run that was killed leaves them to the next of its number. */
const STATE_DIRECTORIES = `/run/wrenn-tests/run-${RUN}.state`;
rmSync(STATE_DIRECTORIES, { recursive: true, force: true });
mkdirSync(STATE_DIRECTORIES, { recursive: true });
process.once("exit", () => {
  unclaim("run", RUN);
  rmSync(STATE_DIRECTORIES, { recursive: true, force: true });
});

/** First slots of two platforms of tests, 50 slots each. Above those of a platform on the same machine. */
export const FIRST_INDEX = 30_000 + 100 * RUN;
export const SECOND_INDEX = FIRST_INDEX + 50;

/** The prefix of the other names: interfaces and namespaces. */
export const PREFIX = `wnt${RUN}x`;

/** Options of a small pool in a new state directory. */
export function poolOptions(
  options: Partial<NetworkPoolOptions> & { uplink: string },
): NetworkPoolOptions & { log: LogLine[] } {
  const log: LogLine[] = [];
  const write = (level: string) => (fields: unknown, message?: string) => {
    log.push({ level, fields: fields as Record<string, unknown>, message: message ?? "" });
  };
  return {
    stateDirectory: mkdtempSync(join(STATE_DIRECTORIES, "pool-")),
    firstIndex: FIRST_INDEX,
    count: 40,
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
  const names = new RegExp(`(wrenn[-_]|wrn|wguest)${Math.floor(FIRST_INDEX / 100)}\\d\\d|${PREFIX}`);
  return names.test(item) || /ip_forward/.test(item);
}

/** Slots that a test run of that number left when it was killed. */
function removeSlots(run: number): void {
  const names = new RegExp(`^((wrenn-|wrn|wguest)${300 + run}\\d\\d|wnt${run}x.*)$`);
  for (const name of readdirSync("/sys/class/net").filter((each) => names.test(each))) tryIp(`link del ${name}`);
  for (const name of namespaces().filter((each) => names.test(each))) tryIp(`netns del ${name}`);
}

function namespaces(): string[] {
  return existsSync("/run/netns") ? readdirSync("/run/netns") : [];
}

/** The other end of a pair that was removed is gone already. */
function tryIp(command: string): void {
  try {
    ip([command]);
  } catch {
    // nothing to remove
  }
}
