/** Whether a slot that should be there is: asked when the agent adopts it after a restart. */
import { run } from "@wrenn/effects";
import type { SlotPlan } from "./addresses.ts";
import { interfaceGroup } from "./host-rules.ts";
import { GATEWAY_ADDRESS, GATEWAY_MAC_ADDRESS } from "./network.ts";
import { readRuleset } from "./nft.ts";

/** One interface of `ip -json address`. */
interface Link {
  ifname: string;
  flags: string[];
  address: string;
  group?: string;
  addr_info: { local: string }[];
}

/** Chains without which a namespace would not be safe. */
const NEEDED_CHAINS = [
  "netdev guest",
  "ip prerouting",
  "ip postrouting",
  "ip input",
  "ip forward",
  "ip from_guest",
  "ip to_guest",
];

/** What of a slot is missing or not as it should be, in words; nothing when it is whole. */
export async function missingParts(slot: SlotPlan, firstIndex: number): Promise<string[]> {
  try {
    const [onHost, inNamespace, { chains }] = await Promise.all([
      links(["-details", "-json", "address", "show", "dev", slot.vethName]),
      links(["-n", slot.namespaceName, "-json", "address"]),
      readRuleset(slot.namespacePath),
    ]);
    const present = new Set(
      chains.filter(({ table }) => table === "wrenn").map(({ family, name }) => `${family} ${name}`),
    );
    return [
      ...(onHost.some((link) => isUp(link, slot.vethAddress) && link.group === String(interfaceGroup(firstIndex)))
        ? []
        : ["veth"]),
      ...(inNamespace.some((link) => link.ifname === "eth0" && isUp(link, slot.peerAddress)) ? [] : ["eth0"]),
      ...(inNamespace.some(
        (link) => link.ifname === slot.tapName && link.address === GATEWAY_MAC_ADDRESS && isUp(link, GATEWAY_ADDRESS),
      )
        ? []
        : [slot.tapName]),
      ...NEEDED_CHAINS.filter((chain) => !present.has(chain)).map((chain) => `chain ${chain}`),
    ];
  } catch (error) {
    return [error instanceof Error ? error.message : String(error)];
  }
}

function isUp(link: Link, address: string): boolean {
  return link.flags.includes("UP") && link.addr_info.some((info) => info.local === address);
}

async function links(args: string[]): Promise<Link[]> {
  return JSON.parse((await run(["ip", ...args])).stdout) as Link[];
}
