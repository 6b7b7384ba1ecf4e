import { describe, expect, it } from "vitest";
import { connectedNetworks, defaultInterface, interfaceTowards, parseRoutes } from "./routes.ts";

const TABLE = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
wlan0	00000000	0101A8C0	0003	0	0	600	00000000	0	0	0
eth0	00000000	010200C0	0003	0	0	100	00000000	0	0	0
eth0	000200C0	00000000	0001	0	0	0	00FFFFFF	0	0	0
tun0	0000000A	010200C0	0003	0	0	0	000000FF	0	0	0
eth1	0001000A	00000000	0001	0	0	0	00FFFFFF	0	0	0
`;

describe("parseRoutes()", () => {
  it("reads networks, gateways and metrics", () => {
    expect(parseRoutes(TABLE)).toEqual([
      { interfaceName: "wlan0", destination: "0.0.0.0", prefixLength: 0, gateway: "192.168.1.1", metric: 600 },
      { interfaceName: "eth0", destination: "0.0.0.0", prefixLength: 0, gateway: "192.0.2.1", metric: 100 },
      { interfaceName: "eth0", destination: "192.0.2.0", prefixLength: 24, gateway: undefined, metric: 0 },
      { interfaceName: "tun0", destination: "10.0.0.0", prefixLength: 8, gateway: "192.0.2.1", metric: 0 },
      { interfaceName: "eth1", destination: "10.0.1.0", prefixLength: 24, gateway: undefined, metric: 0 },
    ]);
  });

  it("reads an empty table", () => {
    expect(parseRoutes(TABLE.split("\n")[0] ?? "")).toEqual([]);
  });
});

describe("defaultInterface()", () => {
  it("takes the default route with the lowest metric", () => {
    expect(defaultInterface(parseRoutes(TABLE))).toBe("eth0");
  });

  it("takes a VPN's two halves before the default route, and no half for a connected network", () => {
    const half = { interfaceName: "wg0", destination: "0.0.0.0", prefixLength: 1, gateway: undefined, metric: 0 };
    const routes = [...parseRoutes(TABLE), half];
    expect(defaultInterface(routes)).toBe("wg0");
    expect(connectedNetworks(routes, "wg0")).toEqual([]);
  });

  it("is undefined without a default route", () => {
    expect(defaultInterface([])).toBeUndefined();
  });
});

describe("connectedNetworks()", () => {
  it("lists what is on the interface itself, not what is behind a gateway", () => {
    expect(connectedNetworks(parseRoutes(TABLE), "eth0")).toEqual(["192.0.2.0/24"]);
    expect(connectedNetworks(parseRoutes(TABLE), "tun0")).toEqual([]);
  });
});

describe("interfaceTowards()", () => {
  it("follows the most specific route, then the lowest metric", () => {
    const routes = parseRoutes(TABLE);
    expect(interfaceTowards(routes, "10.0.1.7")).toBe("eth1");
    expect(interfaceTowards(routes, "10.9.9.9")).toBe("tun0");
    expect(interfaceTowards(routes, "203.0.113.1")).toBe("eth0");
    expect(interfaceTowards([], "203.0.113.1")).toBeUndefined();
  });
});
