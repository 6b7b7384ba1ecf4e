/**
 * Where a webhook may go. Its URL is a tenant's, so it must not lead into the platform's own networks:
 * the address is checked when it has been looked up, at the moment of connecting, so that a name cannot
 * be pointed elsewhere in between.
 */
import { lookup as systemLookup, type LookupAddress } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";
import { Agent } from "undici";
import { WrennError } from "@wrenn/errors";

/** Loopback, private, link-local, multicast and otherwise special (IANA special-purpose registries). */
const SPECIAL_IPV4 = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
];
/** Of IPv6 only global unicast is taken, and of that nothing that wraps an IPv4 address. */
const GLOBAL_IPV6 = "2000::/3";
const SPECIAL_IPV6 = ["2001::/23", "2001:db8::/32", "2002::/16"];

export class Destinations {
  readonly #allowed: BlockList;
  readonly #special = listOf(SPECIAL_IPV4);
  readonly #special6 = listOf(SPECIAL_IPV6);
  readonly #global6 = listOf([GLOBAL_IPV6]);
  /** Does not follow redirects. */
  readonly agent: Agent;
  /** Time for one attempt, all in all. */
  readonly timeoutMs: number;

  /** @param allowedNetworks CIDR ranges that may be reached although they are private. */
  constructor(allowedNetworks: readonly string[], { timeoutMs }: { timeoutMs: number }) {
    this.#allowed = listOf(allowedNetworks);
    this.timeoutMs = timeoutMs;
    this.agent = new Agent({
      connect: { lookup: this.#lookup, timeout: timeoutMs },
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    });
  }

  /** @throws WrennError `invalid_request` for a URL that can never be used. */
  check(url: string): void {
    let parsed: URL;
    try {
      parsed = new URL(url);
    } catch (cause) {
      throw new WrennError("invalid_request", "Cannot use the URL: it is malformed", { cause, hint: "https://…" });
    }
    if (parsed.username !== "" || parsed.password !== "")
      throw new WrennError("invalid_request", "Cannot use the URL: it has credentials in it", {
        hint: "Verify the signature instead",
      });
    const host = parsed.hostname.replace(/^\[|\]$/g, "");
    if (isIP(host) !== 0 && !this.allows(host)) throw refused(host);
  }

  allows(address: string): boolean {
    const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
    const plain = mapped ?? address;
    if (isIP(plain) === 4) return this.#allowed.check(plain, "ipv4") || !this.#special.check(plain, "ipv4");
    if (this.#allowed.check(plain, "ipv6")) return true;
    return this.#global6.check(plain, "ipv6") && !this.#special6.check(plain, "ipv6");
  }

  async close(): Promise<void> {
    await this.agent.destroy();
  }

  /** Looks a name up, and keeps only what may be reached. */
  readonly #lookup: LookupFunction = (hostname, options, callback) => {
    systemLookup(hostname, { ...options, all: true }, (error, found) => {
      if (error !== null) return callback(error, "", 0);
      const usable = (found as LookupAddress[]).filter(({ address }) => this.allows(address));
      const [first] = usable;
      if (first === undefined) return callback(refused(hostname), "", 0);
      if (options.all === true) return callback(null, usable);
      return callback(null, first.address, first.family);
    });
  };
}

function refused(host: string): WrennError {
  return new WrennError("invalid_request", `Cannot send to ${host}: its address is private`, {
    hint: "The platform's operator allows private networks with WRENN_WEBHOOK_NETWORKS",
  });
}

function listOf(networks: readonly string[]): BlockList {
  const list = new BlockList();
  for (const network of networks) {
    const [address = "", bits = ""] = network.split("/");
    const version = isIP(address);
    if (version === 0) throw new WrennError("invalid_request", `Cannot use the network ${network}: not CIDR notation`);
    list.addSubnet(address, bits === "" ? (version === 4 ? 32 : 128) : Number(bits), version === 4 ? "ipv4" : "ipv6");
  }
  return list;
}
