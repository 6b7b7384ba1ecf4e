/**
 * The nft table on the host: one for all slots of a platform. Our veths are known by their
 * interface group, which is set when they are made, so the table does not change with the slots.
 */
import { CLOSED_TIMEOUTS } from "./limits.ts";
import { resolverAlias, vethInterval, type AddressRanges } from "./addresses.ts";

/** What the table depends on. */
export interface HostRuleOptions {
  firstIndex: number;
  count: number;
  ranges: AddressRanges;
  /** The interface towards the internet; undefined: guests have none. */
  uplink: string | undefined;
  /** Addresses and networks that guests may not reach. */
  closed: readonly string[];
  /** The resolver in use; undefined: guests have no DNS. */
  resolver: string | undefined;
  /** Connections that all guests together may have; the rest of the host's table is the host's. */
  connections: number;
  /** Interfaces that forward only because we turned it on: they forward for our guests alone. */
  opened: readonly string[];
}

/** The table of the platform whose slots start at `firstIndex`. */
export function hostTableName(firstIndex: number): string {
  return firstIndex === 1 ? "wrenn" : `wrenn_${firstIndex}`;
}

/** The set that remembers, also over a crash, which interfaces' forwarding we turned on. */
export const OPENED_SET = "opened";

/** True for the table of any Wrenn platform on this host. */
export function isHostTable(name: string): boolean {
  return /^wrenn(_\d+)?$/.test(name);
}

/** The interface group of a platform's veths: "wr" and the first index. */
export function interfaceGroup(firstIndex: number): number {
  return 0x7772_0000 + firstIndex;
}

/** The input of `nft -f` that makes the table, or replaces it in one transaction. */
export function hostRules(options: HostRuleOptions): string {
  const { firstIndex, count, ranges, uplink, closed, resolver, connections, opened } = options;
  const table = hostTableName(firstIndex);
  const group = interfaceGroup(firstIndex);
  const addresses = vethInterval(firstIndex, count, ranges);
  const alias = resolverAlias(ranges);
  const toResolver = `ct status dnat ct original ip daddr ${alias} meta l4proto { tcp, udp } th dport 53 accept`;
  return `
table inet ${table}
delete table inet ${table}
table inet ${table} {
  set closed {
    type ipv4_addr; flags interval; auto-merge;
    elements = { ${closed.join(", ")} }
  }
  set ${OPENED_SET} {
    type ifname;
    ${opened.length === 0 ? "" : `elements = { ${opened.map((name) => `"${name}"`).join(", ")} }`}
  }
  ct timeout closed_soon {
    ${CLOSED_TIMEOUTS}
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    ${resolver === undefined ? "" : `iifgroup ${group} ip daddr ${alias} meta l4proto { tcp, udp } th dport 53 dnat ip to ${resolver}`}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    ip saddr ${addresses} oifgroup != ${group} masquerade
  }
  chain input {
    type filter hook input priority filter - 10; policy accept;
    iifgroup ${group} jump from_slot_to_host
  }
  chain from_slot_to_host {
    ct state established,related ct direction reply accept
    ${toResolver}
    drop
  }
  chain forward {
    type filter hook forward priority filter - 10; policy accept;
    iifgroup ${group} jump from_slot
    oifgroup ${group} jump to_slot
    iifname @${OPENED_SET} oifgroup != ${group} ct state new ct status ! dnat drop
  }
  chain from_slot {
    oifgroup ${group} drop
    ip saddr != ${addresses} drop
    meta nfproto != ipv4 drop
    ct state new ct count over ${connections} drop
    ct state new meta l4proto tcp ct timeout set "closed_soon"
    tcp flags syn tcp option maxseg size set rt mtu
    ${toResolver}
    ${uplink === undefined ? "drop" : `oifname != "${uplink}" drop`}
    ip daddr @closed drop
  }
  chain to_slot {
    tcp flags syn tcp option maxseg size set rt mtu
    ct state established,related accept
    drop
  }
}
`;
}
