/**
 * What the platform can leave behind on a host, listed. Two lists are compared by `expectNoLeak`.
 * Every item is a line that tells a reader what it is and lets them find it.
 */
import { listCgroups, listFiles, listDeviceMapper, listLoopDevices, listMounts } from "./storage.ts";
import { listFirewallRules, listInterfaces, listNamespaces, listSettings } from "./network.ts";
import { listProcesses } from "./processes.ts";
import { readySlots } from "./ready-slots.ts";

/** What to look at beside the kernel's own lists. */
export interface InventoryOptions {
  /** Directories whose files, sockets and directories are listed, all the way down. */
  directories?: readonly string[];
  /** Programs that count wherever they run (the name of the executable); the platform's own unless told. */
  programs?: readonly string[];
  /** Rows of a database, one line each: for example `sandboxes sb0… running`. */
  rows?: () => Promise<readonly string[]>;
  /** `WRENN_DIR` of a platform that is up: the network slots that it keeps ready do not count. */
  stateDirectory?: string;
  /** Things that belong to somebody else who works on this machine at the same time. */
  ignore?: (kind: Kind, item: string) => boolean;
}

/** The kinds of things that are listed. */
export type Kind =
  | "process"
  | "network namespace"
  | "network interface"
  | "firewall rule"
  | "network setting"
  | "mount"
  | "loop device"
  | "device-mapper device"
  | "file"
  | "cgroup"
  | "database row";

/** Everything there was at one moment. */
export interface Inventory {
  readonly items: ReadonlyMap<Kind, ReadonlySet<string>>;
  readonly options: InventoryOptions;
}

/** Programs of the platform that outlive the process that started them. */
const PROGRAMS = ["qemu-system-x86_64", "qemu-system-aarch64", "firecracker", "wrenn-shim", "wrenn-pager", "postgres"];

/** Lists everything there is now. Needs root. */
export async function takeInventory(options: InventoryOptions = {}): Promise<Inventory> {
  const { directories = [], programs = PROGRAMS, rows, stateDirectory, ignore = () => false } = options;
  const isReadySlots = stateDirectory === undefined ? () => false : readySlots(stateDirectory);
  const lists: Record<Kind, Promise<readonly string[]>> = {
    process: listProcesses(programs),
    "network namespace": listNamespaces(),
    "network interface": listInterfaces(),
    "firewall rule": listFirewallRules(),
    "network setting": listSettings(),
    mount: listMounts(),
    "loop device": listLoopDevices(),
    "device-mapper device": listDeviceMapper(),
    file: listFiles(directories),
    cgroup: listCgroups(),
    "database row": rows?.() ?? Promise.resolve([]),
  };
  const items = new Map<Kind, ReadonlySet<string>>();
  for (const kind of Object.keys(lists) as Kind[]) {
    items.set(kind, new Set((await lists[kind]).filter((item) => !isReadySlots(item) && !ignore(kind, item))));
  }
  return { items, options };
}
