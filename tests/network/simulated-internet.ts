/**
 * An internet for tests: a network namespace behind a veth pair, with public test addresses
 * (203.0.113.0/24, TEST-NET-3), a resolver, HTTP and echo servers. Nothing ever goes out of the
 * machine's real uplink. Up to 16 at once; the remains of a test run that was killed are removed.
 */
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { claim, unclaim } from "./claim.ts";
import type { Arrival, Internet } from "./internet-process.ts";
import { endProcess, ip, startNodeInside } from "./namespaces.ts";

/** A running simulated internet. */
export interface SimulatedInternet {
  /** The host's interface towards it; give it to the platform as its uplink. */
  uplinkInterface: string;
  /** A resolver at a public address. */
  resolverAddress: string;
  /** A second one, in a private range, as companies have them. */
  privateResolverAddress: string;
  /** HTTP on port 80 (`/bytes/N` answers N bytes), echo on TCP and UDP port 7, DNS on 53. */
  httpAddress: string;
  /** A further public address with the same servers. */
  otherAddress: string;
  /** The internet's end of the uplink: the host's gateway, and its neighbour. */
  gatewayAddress: string;
  /** Addresses of ranges that guests may not reach. They are routed here and answer, so that a leak is seen. */
  closedAddresses: string[];
  /** What the resolvers know. */
  names: Record<string, string[]>;
  /** What has reached the internet so far. */
  arrivals: Arrival[];
  /** Path of the namespace. */
  namespacePath: string;
  stop(): Promise<void>;
}

/** Starts one. Needs root. */
export async function startSimulatedInternet(): Promise<SimulatedInternet> {
  const index = claim("internet", 16, removeInternet);
  const namespace = `wsim${index}`;
  const link = { host: `198.51.100.${4 * index + 1}`, internet: `198.51.100.${4 * index + 2}` };
  const publicAddress = (last: number) => `203.0.113.${16 * index + last}`;
  const privateResolverAddress = `10.213.${index}.53`;
  const closedAddresses = [
    `10.213.${index}.1`,
    `172.29.213.${index + 1}`,
    `192.168.213.${index + 1}`,
    `100.99.213.${index + 1}`,
    `169.254.213.${index + 1}`,
    "169.254.169.254",
    `168.63.129.16`,
    `192.0.0.192`,
    `240.0.213.${index + 1}`,
  ];
  const names = { "www.wrenn.test": [publicAddress(1)], "two.wrenn.test": [publicAddress(1), publicAddress(2)] };
  const routed = [privateResolverAddress, ...closedAddresses];
  ip([
    `netns add ${namespace}`,
    `link add ${namespace} mtu 1400 type veth peer name eth0 netns ${namespace}`,
    `addr add ${link.host}/30 dev ${namespace}`,
    `link set ${namespace} up`,
  ]);
  ip(
    [
      "link set lo up",
      `addr add ${link.internet}/30 dev eth0`,
      "link set eth0 up",
      `route add local ${publicAddress(0)}/28 dev lo`,
      ...routed.map((address) => `route add local ${address}/32 dev lo`),
    ],
    namespace,
  );
  // the metric lets several internets claim the same address; the kernel takes the lowest
  ip(
    [`${publicAddress(0)}/28`, ...routed.map((address) => `${address}/32`)].map(
      (to) => `route add ${to} via ${link.internet} dev ${namespace} metric ${1000 + index}`,
    ),
  );
  const arrivals: Arrival[] = [];
  const servers = await startServers(namespace, arrivals, {
    names,
    addresses: [publicAddress(1), publicAddress(2), publicAddress(5), link.internet, ...routed],
  });
  return {
    uplinkInterface: namespace,
    resolverAddress: publicAddress(5),
    privateResolverAddress,
    httpAddress: publicAddress(1),
    otherAddress: publicAddress(2),
    gatewayAddress: link.internet,
    closedAddresses,
    names,
    arrivals,
    namespacePath: `/run/netns/${namespace}`,
    stop: async () => {
      await endProcess(servers);
      removeInternet(index);
      unclaim("internet", index);
    },
  };
}

/** Starts the servers and waits until they listen. */
async function startServers(namespace: string, arrivals: Arrival[], internet: Internet) {
  const path = fileURLToPath(new URL("internet-process.ts", import.meta.url));
  const child = await startNodeInside(`/run/netns/${namespace}`, path, [JSON.stringify(internet)]);
  child.on("message", (arrival: Arrival) => arrivals.push(arrival));
  return child;
}

function removeInternet(index: number): void {
  const namespace = `wsim${index}`;
  if (existsSync(`/sys/class/net/${namespace}`)) ip([`link del ${namespace}`]);
  if (existsSync(`/run/netns/${namespace}`)) ip([`netns del ${namespace}`]);
}
