/**
 * Where guests may not go. "The internet" is every IPv4 address that is not here.
 * Ranges: IANA IPv4 Special-Purpose Address Registry, without the TEST-NETs (nobody uses them, and
 * tests build an internet out of them).
 */
import { networkInterfaces } from "node:os";

/** Never public, on any machine. */
export const CLOSED_RANGES: readonly string[] = [
  "0.0.0.0/8", // "this network"
  "10.0.0.0/8",
  "100.64.0.0/10", // carrier-grade NAT; metadata of some clouds
  "127.0.0.0/8",
  "168.63.129.16/32", // Azure's WireServer: a public address that answers with the machine's secrets
  "169.254.0.0/16", // link-local, metadata of most clouds
  "172.16.0.0/12",
  "192.0.0.0/24", // IETF protocol assignments; metadata of some clouds
  "192.168.0.0/16",
  "224.0.0.0/4", // multicast
  "240.0.0.0/4", // reserved, broadcast
];

/** The host's own addresses, whatever range they are from. */
export function hostAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((addresses) => addresses ?? [])
    .filter((address) => address.family === "IPv4")
    .map((address) => address.address);
}
