/**
 * Which names, addresses and ids belong to slot N: pure arithmetic, so that they can be found again
 * from the index alone. Slot N has 10.11.0.0 + N on the host, and the pair 10.12.0.0 + 2N (host
 * side), + 2N + 1 (namespace side) on its veth.
 */
import { TAP_NAME, type Slot } from "./network.ts";

/** The largest index: the veth pairs of 32767 slots fill a /16. */
export const LAST_INDEX = 32_767;

/** Where a platform's addresses come from; /16 networks. */
export interface AddressRanges {
  /** `10.11.0.0` unless told. Its first address stands for the resolver (`resolverAlias`). */
  hostNetwork: string;
  /** `10.12.0.0` unless told. */
  vethNetwork: string;
}

/** The ranges of the architecture. */
export const DEFAULT_RANGES: AddressRanges = { hostNetwork: "10.11.0.0", vethNetwork: "10.12.0.0" };

/** A slot with what only this folder needs to know. */
export interface SlotPlan extends Slot {
  /** The host's end of the veth pair. */
  readonly vethName: string;
  /** Address of the host's end. */
  readonly vethAddress: string;
  /** Address of the namespace's end, `eth0`. */
  readonly peerAddress: string;
}

/** The plan of slot `index`. */
export function planSlot(index: number, uidFirst: number, ranges: AddressRanges = DEFAULT_RANGES): SlotPlan {
  if (!Number.isInteger(index) || index < 1 || index > LAST_INDEX) {
    throw new RangeError(`Cannot plan slot ${index}: slots go from 1 to ${LAST_INDEX}`);
  }
  const veth = addressToNumber(ranges.vethNetwork) + 2 * index;
  return {
    index,
    namespaceName: `wrenn-${index}`,
    namespacePath: `/run/netns/wrenn-${index}`,
    tapName: TAP_NAME,
    hostAddress: numberToAddress(addressToNumber(ranges.hostNetwork) + index),
    uid: uidFirst + index,
    vethName: `wrn${index}`,
    vethAddress: numberToAddress(veth),
    peerAddress: numberToAddress(veth + 1),
  };
}

/** The address that namespaces send DNS to; the host turns it into the resolver in use. No slot has index 0. */
export function resolverAlias(ranges: AddressRanges = DEFAULT_RANGES): string {
  return ranges.hostNetwork;
}

/** The veth addresses of a range of slots, as an nft interval. */
export function vethInterval(firstIndex: number, count: number, ranges: AddressRanges = DEFAULT_RANGES): string {
  const base = addressToNumber(ranges.vethNetwork);
  return `${numberToAddress(base + 2 * firstIndex)}-${numberToAddress(base + 2 * (firstIndex + count) - 1)}`;
}

/** `10.0.0.1` as a number. */
export function addressToNumber(address: string): number {
  const bytes = address.split(".").map(Number);
  if (bytes.length !== 4 || bytes.some((byte) => !Number.isInteger(byte) || byte < 0 || byte > 255)) {
    throw new RangeError(`Cannot read ${address}: not an IPv4 address`);
  }
  return bytes.reduce((value, byte) => value * 256 + byte, 0);
}

/** A number as `10.0.0.1`. */
export function numberToAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => (value >>> shift) & 255).join(".");
}
