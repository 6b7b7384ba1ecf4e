/**
 * Per-interface IPv4 forwarding (`net.ipv4.conf.<interface>.forwarding`, ip-sysctl.rst). The kernel
 * asks the interface that a packet comes in by, so guests need it on their veth and, for the
 * answers, on the uplink. The global `ip_forward` is never touched.
 */
import { existsSync, readFileSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";

/** True when this network namespace has an interface of that name. */
export function isInterface(name: string): boolean {
  return existsSync(setting(name, "forwarding"));
}

/** Whether the interface forwards; undefined when it does not exist. */
export async function forwards(interfaceName: string): Promise<boolean | undefined> {
  try {
    return (await readFile(setting(interfaceName, "forwarding"), "utf8")).trim() === "1";
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** Turns an interface's forwarding on or off; false when the interface does not exist (any more). */
export async function setForwarding(interfaceName: string, on: boolean): Promise<boolean> {
  try {
    await writeFile(setting(interfaceName, "forwarding"), on ? "1" : "0");
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** Makes a veth of ours forward, with a strict check that sources belong to it. */
export async function prepareVeth(interfaceName: string): Promise<void> {
  await setForwarding(interfaceName, true);
  await writeFile(setting(interfaceName, "rp_filter"), "1");
}

/** The veths of an interface group. */
export async function veths(group: number): Promise<string[]> {
  const names: string[] = [];
  for (const name of await readdir("/sys/class/net")) {
    const found = await readFile(`/sys/class/net/${name}/netdev_group`, "utf8").catch(() => "");
    if (found.trim() === String(group)) names.push(name);
  }
  return names;
}

/** True when somebody made the whole machine a router meanwhile (Docker does). */
export function forwardsGlobally(): boolean {
  return readFileSync("/proc/sys/net/ipv4/ip_forward", "utf8").trim() === "1";
}

function setting(interfaceName: string, name: string): string {
  return `/proc/sys/net/ipv4/conf/${interfaceName}/${name}`;
}
