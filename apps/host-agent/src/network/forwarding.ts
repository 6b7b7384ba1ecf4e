/**
 * Per-interface IPv4 forwarding (`net.ipv4.conf.<interface>.forwarding`, ip-sysctl.rst). The kernel
 * asks the interface that a packet comes in by, so guests need it on their veth and, for the
 * answers, on the uplink. The global `ip_forward` is never touched.
 */
import { readdir, readFile, writeFile } from "node:fs/promises";

/** True when the interface forwards; false also when it does not exist. */
export async function forwards(interfaceName: string): Promise<boolean> {
  try {
    return (await readFile(setting(interfaceName, "forwarding"), "utf8")).trim() === "1";
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false;
    throw error;
  }
}

/** Turns an interface's forwarding on or off; a missing interface has none to turn off. */
export async function setForwarding(interfaceName: string, on: boolean): Promise<void> {
  try {
    await writeFile(setting(interfaceName, "forwarding"), on ? "1" : "0");
  } catch (error) {
    if (on || (error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
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
export async function forwardsGlobally(): Promise<boolean> {
  return (await readFile("/proc/sys/net/ipv4/ip_forward", "utf8")).trim() === "1";
}

function setting(interfaceName: string, name: string): string {
  return `/proc/sys/net/ipv4/conf/${interfaceName}/${name}`;
}
