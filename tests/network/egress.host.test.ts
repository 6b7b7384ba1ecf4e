/**
 * What a guest can reach, tried from inside: frames of a real TCP/IP stack go through a slot's real
 * TAP. Everything closed is tried against a server that would answer.
 */
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { rmSync } from "node:fs";
import { connect, createServer, type Server } from "node:net";
import { networkInterfaces } from "node:os";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { NetworkPool, Slot } from "../../apps/host-agent/src/network/network.ts";
import { createNetworkPool } from "../../apps/host-agent/src/network/pool.ts";
import { expectNoLeak, type Inventory } from "../leaks/index.ts";
import { startGuest, type Guest } from "./guest.ts";
import { runInside } from "./namespaces.ts";
import { poolOptions, takeNetworkInventory } from "./pool-options.ts";
import { startSimulatedInternet, type SimulatedInternet } from "./simulated-internet.ts";

const never = new AbortController().signal;

/** An ordinary program's port, that of envd, of PostgreSQL and of the control plane. */
const PORTS = [28_213, 49_983, 5432, 7780];
const [PORT = 0, ENVD_PORT = 0] = PORTS;

let before: Inventory;
let internet: SimulatedInternet;
let pool: NetworkPool;
let [slot, otherSlot] = [] as unknown as [Slot, Slot];
let [guest, neighbour] = [] as unknown as [Guest, Guest];
let stateDirectory = "";
const hostServers: (Server | Socket)[] = [];
/** What reached the host's servers. */
const hostArrivals: string[] = [];

beforeAll(async () => {
  before = await takeNetworkInventory();
  internet = await startSimulatedInternet();
  const options = poolOptions({ uplink: internet.uplinkInterface, resolvers: [internet.privateResolverAddress] });
  ({ stateDirectory } = options);
  pool = await createNetworkPool(options);
  [slot, otherSlot] = [await pool.acquire("sb1", never), await pool.acquire("sb2", never)];
  [guest, neighbour] = [await startGuest(slot), await startGuest(otherSlot)];
  for (const port of [PORT, ENVD_PORT]) await neighbour.listen(port);
  await guest.listen(ENVD_PORT);
  await listenOnHost();
});

afterAll(async () => {
  for (const server of hostServers) server.close();
  await guest.stop();
  await neighbour.stop();
  await pool.release(slot);
  await pool.release(otherSlot);
  await pool.close();
  await internet.stop();
  rmSync(stateDirectory, { recursive: true });
  await expectNoLeak(before);
});

describe("the internet", () => {
  it("is open for TCP, UDP and ICMP, under the uplink's address", async () => {
    expect(await guest.tcp(internet.httpAddress, 80, { text: "GET /from-a-guest HTTP/1.0\r\n\r\n" })).toBe("open");
    expect(await guest.udp(internet.otherAddress, 7, "udp-from-a-guest")).toBe(true);
    expect(await guest.ping(internet.httpAddress)).toBe(true);
    const uplinkAddress = networkInterfaces()[internet.uplinkInterface]?.[0]?.address;
    // the internet's report comes over another pipe than the guest's answer, and may be read later
    await expect
      .poll(() => internet.arrivals)
      .toEqual(
        expect.arrayContaining([
          { kind: "http", from: uplinkAddress, text: "/from-a-guest" },
          { kind: "udp", from: uplinkAddress, text: "udp-from-a-guest" },
        ]),
      );
  });

  it("is told segments that fit the uplink, not the guest's interface", () => {
    const script = `console.log(await (await fetch("http://${internet.httpAddress}/mss")).text())`;
    // the uplink's 1400 bytes less IP and TCP headers and the timestamp option
    expect(guest.run([process.execPath, "--input-type=module", "--eval", script]).trim()).toBe("1348");
  });

  it("delivers large answers although the way there is narrower than the guest's interface", async () => {
    const script = `const r = await fetch("http://${internet.httpAddress}/bytes/3000000"); console.log((await r.arrayBuffer()).byteLength)`;
    expect(guest.run([process.execPath, "--input-type=module", "--eval", script]).trim()).toBe("3000000");
  });

  it("is counted in bytes, as the guest sees them", async () => {
    const start = await pool.counters(otherSlot);
    await neighbour.udp(internet.httpAddress, 7, "x".repeat(1000));
    const end = await pool.counters(otherSlot);
    expect(end.sentBytes - start.sentBytes).toBeGreaterThanOrEqual(1000);
    expect(end.receivedBytes - start.receivedBytes).toBeGreaterThanOrEqual(1000);
  });
});

describe("DNS", () => {
  it.each(["udp", "tcp"] as const)(
    "is answered by the gateway over %s, by a resolver in a private range",
    async (over) => {
      const answer = await guest.resolve("www.wrenn.test", { over });
      expect(answer).toMatchObject({ code: 0, addresses: internet.names["www.wrenn.test"] });
      expect(await guest.resolve("no-such-name.test", { over })).toMatchObject({ code: 3 });
      await expect.poll(() => internet.arrivals.map(({ kind }) => kind)).toContain(`dns-${over}`);
    },
  );

  it("does not open the resolver's address: neither other ports, nor port 53 without the gateway", async () => {
    const { privateResolverAddress } = internet;
    expect(await guest.tcp(privateResolverAddress, 80)).not.toBe("open");
    expect(await guest.udp(privateResolverAddress, 7, "to-the-resolver")).toBe(false);
    expect(await guest.ping(privateResolverAddress)).toBe(false);
    expect(await guest.resolve("www.wrenn.test", { resolver: privateResolverAddress })).toBeUndefined();
    expect(await guest.resolve("www.wrenn.test", { resolver: "10.11.0.0" })).toBeUndefined();
  });
});

describe("closed", () => {
  it("are private, link-local, shared, reserved and metadata addresses", async () => {
    const ways = await Promise.all(internet.closedAddresses.map(async (address) => waysIn(guest, address, [80, 53])));
    expect(ways.flat()).toEqual([]);
    expect(internet.arrivals.filter(({ text }) => text.startsWith("closed"))).toEqual([]);
  });

  it("are the uplink's gateway and its neighbours", async () => {
    expect(await waysIn(guest, internet.gatewayAddress, [80, 53])).toEqual([]);
  });

  it("is the host, at every address it has", async () => {
    const addresses = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .filter(({ family, internal }) => family === "IPv4" && !internal);
    expect(addresses.length).toBeGreaterThan(3);
    const own = [...addresses.map(({ address }) => address), "169.254.0.22"];
    expect((await Promise.all(own.map(async (address) => waysIn(guest, address, PORTS)))).flat()).toEqual([]);
    expect(hostArrivals).toEqual([]);
    expect(await askFromHost("127.0.0.1", PORT)).toBe("127.0.0.1");
    expect(hostArrivals.splice(0)).toEqual([`TCP ::ffff:127.0.0.1 to ::ffff:127.0.0.1:${PORT}`]);
  });

  it("is the guest's own way in, from itself", async () => {
    expect(await waysIn(guest, slot.hostAddress, [ENVD_PORT])).toEqual([]);
  });

  it("are neighbours, by every address they have", async () => {
    const peer = runInside(otherSlot.namespacePath, ["ip", "-4", "-brief", "address", "show", "dev", "eth0"]);
    const peerAddress = /10\.12\.\d+\.\d+/.exec(peer)?.[0] ?? "";
    for (const address of [otherSlot.hostAddress, peerAddress])
      expect(await waysIn(guest, address, [PORT, ENVD_PORT])).toEqual([]);
  });

  it("is IPv6, to the host and to anywhere", async () => {
    const addresses = Object.values(networkInterfaces())
      .flatMap((list) => list ?? [])
      .filter(({ family, scopeid }) => family === "IPv6" && scopeid === 0);
    for (const address of [
      "2001:db8:213::22",
      "2001:db8:99::1",
      ...addresses.map((entry) => entry.address).filter((entry) => entry !== "::1"),
    ]) {
      expect(await guest.tcp(address, PORT)).not.toBe("open");
      expect(await guest.udp(address, PORT, "over-ipv6")).toBe(false);
    }
    expect(hostArrivals).toEqual([]);
    expect(runInside(slot.namespacePath, ["ip", "-6", "address"])).toBe("");
  });
});

describe("the way in", () => {
  it("is the slot's host address, for the host, which the guest sees as its gateway", async () => {
    expect(await askFromHost(slot.hostAddress, ENVD_PORT)).toBe("169.254.0.22");
    expect(await askFromHost(otherSlot.hostAddress, PORT)).toBe("169.254.0.22");
  });

  it("is closed to machines on the host's network", async () => {
    runInside(internet.namespacePath, ["ip", "route", "add", "10.11.0.0/16", "via", hostAddressTowardsInternet()]);
    const script = `
      const socket = require("node:net").connect(${ENVD_PORT}, "${slot.hostAddress}");
      socket.on("connect", () => console.log("open")); socket.on("error", () => console.log("closed"));
      setTimeout(() => { console.log("closed"); process.exit(); }, 700);`;
    expect(runInside(internet.namespacePath, [process.execPath, "--eval", script])).not.toContain("open");
  });
});

describe("a guest that pretends to be somebody else", () => {
  const [mac, gatewayMac] = ["02fc00000005", "02fc00000006"];

  it("is heard as itself", async () => {
    guest.sendFrame(
      udpFrame({
        to: gatewayMac,
        from: mac,
        source: "169.254.0.21",
        destination: internet.httpAddress,
        text: "genuine",
      }),
    );
    await expect.poll(arrivedTexts, { timeout: 2_000 }).toContain("genuine");
  });

  it("is not heard with another source address, MAC address, or protocol", async () => {
    const honest = { to: gatewayMac, from: mac, source: "169.254.0.21", destination: internet.httpAddress };
    guest.sendFrame(udpFrame({ ...honest, source: "169.254.0.20", text: "spoofed-link-local" }));
    guest.sendFrame(udpFrame({ ...honest, source: "10.12.0.2", text: "spoofed-veth" }));
    guest.sendFrame(udpFrame({ ...honest, source: internet.otherAddress, text: "spoofed-public" }));
    guest.sendFrame(udpFrame({ ...honest, source: "169.254.0.22", text: "spoofed-gateway" }));
    guest.sendFrame(udpFrame({ ...honest, from: "02fc00000007", text: "spoofed-mac" }));
    guest.sendFrame(udpFrame({ ...honest, etherType: "8100" + "0001" + "0800", text: "spoofed-vlan" }));
    guest.sendFrame(udpFrame({ ...honest, text: "last" }));
    await expect.poll(arrivedTexts, { timeout: 2_000 }).toContain("last");
    expect(internet.arrivals.filter(({ text }) => text.startsWith("spoofed"))).toEqual([]);
  });

  it("cannot claim an address with ARP", async () => {
    const address = (text: string) =>
      text
        .split(".")
        .map((byte) => Number(byte).toString(16).padStart(2, "0"))
        .join("");
    // an unsolicited reply: "169.254.0.22 is at the guest's MAC", and one that gives its own address another MAC
    const arp = (sender: string, protocolAddress: string) =>
      `${gatewayMac}${mac}0806` +
      `0001080006040002${sender}${address(protocolAddress)}${gatewayMac}${address("169.254.0.22")}`;
    guest.sendFrame(arp(mac, "169.254.0.22"));
    guest.sendFrame(arp(mac, "169.254.0.20"));
    guest.sendFrame(arp("02fc00000009", "169.254.0.21"));
    const neighbours = runInside(slot.namespacePath, ["ip", "neighbour", "show", "dev", "tap0"]);
    expect(neighbours.trim()).toBe("169.254.0.21 lladdr 02:fc:00:00:00:05 PERMANENT");
    expect(await guest.ping(internet.httpAddress)).toBe(true);
  });
});

/** Tries TCP and UDP on each port, and ICMP; what was answered. */
async function waysIn(from: Guest, address: string, ports: readonly number[]): Promise<string[]> {
  const attempts = ports.flatMap((port) => [
    from
      .tcp(address, port, { text: "GET /closed HTTP/1.0\r\n\r\n" })
      .then((state) => (state === "open" ? `TCP ${address}:${port}` : "")),
    from.udp(address, port, `closed-${address}`).then((answered) => (answered ? `UDP ${address}:${port}` : "")),
  ]);
  const ping = from.ping(address).then((answered) => (answered ? `ICMP ${address}` : ""));
  return (await Promise.all([...attempts, ping])).filter(Boolean);
}

/** TCP and UDP servers on all addresses of the host, of both families. A port that is in use has its own server. */
async function listenOnHost(): Promise<void> {
  for (const port of PORTS) {
    const tcp = createServer((socket) => {
      hostArrivals.push(`TCP ${socket.remoteAddress} to ${socket.localAddress}:${port}`);
      socket.end((socket.remoteAddress ?? "").replace("::ffff:", ""));
    }).listen(port, "::");
    const udp = createSocket("udp6", (message, peer) => {
      hostArrivals.push(`UDP ${peer.address}: ${message.toString()}`);
      udp.send(message, peer.port, peer.address);
    }).bind(port);
    for (const state of await Promise.allSettled([tcp, udp].map(async (server) => once(server, "listening")))) {
      if (state.status === "rejected" && (state.reason as NodeJS.ErrnoException).code !== "EADDRINUSE")
        throw state.reason;
    }
    hostServers.push(tcp, udp);
  }
}

async function askFromHost(address: string, port: number): Promise<string> {
  const socket = connect({ host: address, port });
  const [data] = (await once(socket, "data", { signal: AbortSignal.timeout(5_000) })) as [Buffer];
  socket.destroy();
  return data.toString();
}

function hostAddressTowardsInternet(): string {
  return networkInterfaces()[internet.uplinkInterface]?.find(({ family }) => family === "IPv4")?.address ?? "";
}

function arrivedTexts(): string[] {
  return internet.arrivals.map(({ text }) => text);
}

/** An Ethernet frame with a UDP packet to port 7, in hex. */
function udpFrame(fields: {
  to: string;
  from: string;
  etherType?: string;
  source: string;
  destination: string;
  text: string;
}): string {
  const udp = Buffer.alloc(8 + fields.text.length);
  udp.writeUInt16BE(40_007, 0);
  udp.writeUInt16BE(7, 2);
  udp.writeUInt16BE(udp.length, 4);
  udp.write(fields.text, 8);
  const header = Buffer.from([
    0x45,
    0,
    0,
    0,
    0,
    0,
    0,
    0,
    64,
    17,
    0,
    0,
    ...fields.source.split(".").map(Number),
    ...fields.destination.split(".").map(Number),
  ]);
  header.writeUInt16BE(header.length + udp.length, 2);
  let sum = 0;
  for (let at = 0; at < header.length; at += 2) sum += header.readUInt16BE(at);
  header.writeUInt16BE(~((sum & 0xffff) + (sum >> 16)) & 0xffff, 10);
  return `${fields.to}${fields.from}${fields.etherType ?? "0800"}${header.toString("hex")}${udp.toString("hex")}`;
}
