/**
 * Which resolvers guests' questions are sent to. Guests ask the gateway, which cannot pass packets
 * on to a resolver that listens on the host's loopback (127.0.0.53 of systemd-resolved, dnsmasq).
 */
import { readFile } from "node:fs/promises";
import { isIPv4 } from "node:net";

/** What was found. */
export interface ResolverDiscovery {
  /** IPv4 addresses, best first; empty: guests have no DNS. */
  resolvers: string[];
  /** The file that they are from. */
  source: string;
  /** Why there are none, or why not those of `/etc/resolv.conf`; a sentence for `wrenn doctor`. */
  reason?: string;
}

/** glibc reads no more than three (resolv.conf(5)). */
const MAX_RESOLVERS = 3;

const RESOLV_CONF = "/etc/resolv.conf";

/** Where systemd-resolved lists the resolvers that it asks itself (systemd-resolved.service(8)). */
const RESOLVED_UPSTREAMS = "/run/systemd/resolve/resolv.conf";

/** Finds the host's resolvers in `/etc/resolv.conf`, or behind systemd-resolved's stub. */
export async function discoverResolvers(
  paths: { resolvConf: string; upstreams: string } = { resolvConf: RESOLV_CONF, upstreams: RESOLVED_UPSTREAMS },
): Promise<ResolverDiscovery> {
  const listed = await nameserversIn(paths.resolvConf);
  const usable = usableResolvers(listed);
  if (usable.length > 0) return { resolvers: usable, source: paths.resolvConf };
  const upstreams = usableResolvers(await nameserversIn(paths.upstreams));
  const why = listed.length === 0 ? "names no resolver" : `names only ${listed.join(", ")}, which guests cannot reach`;
  if (upstreams.length > 0)
    return { resolvers: upstreams, source: paths.upstreams, reason: `${paths.resolvConf} ${why}` };
  return {
    resolvers: [],
    source: paths.resolvConf,
    reason: `No usable resolver: ${paths.resolvConf} ${why}; set WRENN_DNS`,
  };
}

/** Those that guests' questions can be sent to: IPv4, and not on the host's loopback. */
export function usableResolvers(addresses: readonly string[]): string[] {
  return addresses
    .filter((address) => isIPv4(address) && !address.startsWith("127.") && address !== "0.0.0.0")
    .slice(0, MAX_RESOLVERS);
}

/** The `nameserver` lines of a resolv.conf(5). */
export function parseNameservers(text: string): string[] {
  return [...text.matchAll(/^[ \t]*nameserver[ \t]+(\S+)/gm)].map((match) => match[1] ?? "");
}

async function nameserversIn(path: string): Promise<string[]> {
  try {
    return parseNameservers(await readFile(path, "utf8"));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
    throw error;
  }
}
