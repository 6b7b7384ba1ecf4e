/**
 * The nft rules inside a slot's namespace, loaded in one transaction. They say who the guest is
 * (pinned addresses), how its addresses are translated, what it may never reach, and how much.
 * The host's table (`host-rules.ts`) repeats the last word on where guests may go; these rules
 * stand on their own when somebody flushes the host's. What a guest may not reach is rejected, not
 * dropped: its programs fail at once instead of waiting for minutes.
 */
import type { SlotPlan } from "./addresses.ts";
import { CLOSED_TIMEOUTS, type SlotLimits } from "./limits.ts";
import { GATEWAY_ADDRESS, GUEST_ADDRESS, GUEST_MAC_ADDRESS } from "./network.ts";

/** What the rules depend on beside the slot. */
export interface NamespaceRuleOptions {
  /** Addresses and networks that the guest may not reach. */
  closed: readonly string[];
  limits: SlotLimits;
  /** Address on the host that stands for the resolver. */
  resolverAlias: string;
}

/** The input of `nft -f` for one namespace. */
export function namespaceRules(slot: SlotPlan, options: NamespaceRuleOptions): string {
  const { closed, limits, resolverAlias } = options;
  const throughput = throughputRules(limits);
  return `
table netdev wrenn {
  chain guest {
    type filter hook ingress device "${slot.tapName}" priority filter; policy drop;
    ether saddr != ${GUEST_MAC_ADDRESS} drop
    ether type arp arp htype 1 arp ptype 0x0800 arp hlen 6 arp plen 4 arp saddr ether ${GUEST_MAC_ADDRESS} arp saddr ip { 0.0.0.0, ${GUEST_ADDRESS} } limit rate 100/second accept
    ether type ip ip saddr ${GUEST_ADDRESS} accept
  }
}
table ip wrenn {
  set closed {
    type ipv4_addr; flags interval; auto-merge;
    elements = { ${closed.join(", ")} }
  }
  ct timeout closed_soon {
    ${CLOSED_TIMEOUTS}
  }
  chain prerouting {
    type nat hook prerouting priority dstnat; policy accept;
    iifname "${slot.tapName}" ip daddr ${GATEWAY_ADDRESS} meta l4proto { tcp, udp } th dport 53 dnat to ${resolverAlias}
    iifname "eth0" ip saddr ${slot.vethAddress} ip daddr ${slot.hostAddress} dnat to ${GUEST_ADDRESS}
  }
  chain postrouting {
    type nat hook postrouting priority srcnat; policy accept;
    oifname "eth0" snat to ${slot.peerAddress}
    oifname "${slot.tapName}" snat to ${GATEWAY_ADDRESS}
  }
  chain input {
    type filter hook input priority filter; policy drop;
    iifname "${slot.tapName}" reject with icmp admin-prohibited
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    iifname "${slot.tapName}" oifname "eth0" jump from_guest
    iifname "eth0" oifname "${slot.tapName}" jump to_guest
  }
  chain from_guest {
    ${throughput}
    ct state established,related accept
    ct state != new drop
    meta l4proto != { tcp, udp, icmp } drop
    limit rate over ${limits.newConnectionsPerSecond}/second burst ${2 * limits.newConnectionsPerSecond} packets drop
    ct count over ${limits.connections} drop
    meta l4proto tcp ct timeout set "closed_soon"
    ct status dnat accept comment "only DNS is translated on the way out"
    ip daddr @closed reject with icmp admin-prohibited
    accept
  }
  chain to_guest {
    ${throughput}
    ct state established,related accept
    ct status dnat accept comment "the host, and nobody else, by the slot's host address"
  }
}
`;
}

function throughputRules({ bytesPerSecond, packetsPerSecond }: SlotLimits): string {
  const rules = [];
  if (bytesPerSecond !== undefined)
    rules.push(`limit rate over ${bytesPerSecond} bytes/second burst ${bytesPerSecond} bytes drop`);
  if (packetsPerSecond !== undefined)
    rules.push(`limit rate over ${packetsPerSecond}/second burst ${packetsPerSecond} packets drop`);
  return rules.join("\n    ");
}
