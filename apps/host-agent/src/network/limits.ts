/** What one sandbox may put on the network. */
export interface SlotLimits {
  /** Connections at once, UDP and ICMP exchanges included; closing TCP connections do not count. */
  connections: number;
  /** New connections per second; a burst of twice as many passes. */
  newConnectionsPerSecond: number;
  /** Bytes per second in each direction; a burst of one second passes. Undefined: no limit. */
  bytesPerSecond: number | undefined;
  /** Packets per second in each direction; a burst of one second passes. Undefined: no limit. */
  packetsPerSecond: number | undefined;
}

/** Far above what builds and crawlers do, far below what fills the host's connection table (262,144). */
export const DEFAULT_LIMITS: SlotLimits = {
  connections: 4096,
  newConnectionsPerSecond: 500,
  bytesPerSecond: undefined,
  packetsPerSecond: undefined,
};

/**
 * Closed TCP connections are forgotten after seconds instead of two minutes: the limits above do not
 * count them, so a guest could fill the host's table with them.
 */
export const CLOSED_TIMEOUTS = "protocol tcp; l3proto ip; policy = { time_wait: 10, close: 5 };";
