/**
 * One network slot per sandbox: a namespace with a TAP for the guest, a veth pair to the host, NAT,
 * DNS and the egress policy. Inside, every guest has the same addresses; outside, each has its own.
 */

/** The guest's own view, the same in every slot (architecture: "guest 169.254.0.21/30 everywhere"). */
export const GUEST_ADDRESS = "169.254.0.21";
export const GATEWAY_ADDRESS = "169.254.0.22";
export const GUEST_PREFIX_LENGTH = 30;
export const GUEST_MAC_ADDRESS = "02:fc:00:00:00:05";
/** The TAP's own MAC address: constant as well, because a restored guest still has it in its ARP cache. */
export const GATEWAY_MAC_ADDRESS = "02:fc:00:00:00:06";
export const TAP_NAME = "tap0";

/** A ready slot. */
export interface Slot {
  /** 1 to 32767. */
  readonly index: number;
  readonly namespaceName: string;
  /** `/run/netns/<name>`. */
  readonly namespacePath: string;
  readonly tapName: string;
  /** Where the host reaches the guest: 10.11.x.y. */
  readonly hostAddress: string;
  /** User and group id that the slot's VMM runs under, no other slot's. */
  readonly uid: number;
}

/** Bytes that went through a slot, from the guest's point of view. */
export interface SlotCounters {
  receivedBytes: number;
  sentBytes: number;
}

/** The slots of this host. */
export interface NetworkPool {
  /**
   * Takes a ready slot, or makes one. Written to the ownership record before anything is made.
   * @throws WrennError `capacity` when the range is used up
   */
  acquire(owner: string, signal: AbortSignal): Promise<Slot>;
  /** Finds the slot of an owner again after a restart; undefined when it is not whole. */
  adopt(owner: string, index: number): Promise<Slot | undefined>;
  /** Takes a slot down (connections flushed first); repeating is success. Own deadline; joins its errors. */
  release(slot: Slot): Promise<void>;
  /** Reads a slot's byte counters. */
  counters(slot: Slot): Promise<SlotCounters>;
  /** Removes what a crash left: every recorded slot whose owner is not in `owners`. */
  sweep(owners: ReadonlySet<string>): Promise<void>;
  /** Takes down the ready slots that nobody owns and the host's table when no slot is left. */
  close(): Promise<void>;
}
