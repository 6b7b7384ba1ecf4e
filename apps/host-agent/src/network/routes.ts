/**
 * The host's routes, read from `/proc/net/route` (the main table; proc_pid_net(5)): no process, so
 * they can be looked at whenever a slot is made.
 */
import { readFileSync } from "node:fs";
import { addressToNumber, numberToAddress } from "./addresses.ts";

/** One route of the main table. */
export interface Route {
  interfaceName: string;
  destination: string;
  prefixLength: number;
  /** Undefined for a directly connected network. */
  gateway: string | undefined;
  metric: number;
}

/** The routes of the network namespace that this process is in. */
export function readRoutes(): Route[] {
  return parseRoutes(readFileSync("/proc/net/route", "utf8"));
}

/** Reads the text of `/proc/net/route`. */
export function parseRoutes(text: string): Route[] {
  return text
    .trim()
    .split("\n")
    .slice(1)
    .map((line) => line.trim().split(/\s+/))
    .map(([interfaceName = "", destination = "", gateway = "", flags = "", , , metric = "", mask = ""]) => ({
      interfaceName,
      destination: littleEndian(destination),
      prefixLength: bitCount(Number.parseInt(mask, 16)),
      gateway: (Number.parseInt(flags, 16) & RTF_GATEWAY) === 0 ? undefined : littleEndian(gateway),
      metric: Number(metric),
    }));
}

/**
 * The interface of the default route; of several, the one with the lowest metric. Two routes that
 * halve the address space, as VPN clients set them, stand before it.
 */
export function defaultInterface(routes: readonly Route[]): string | undefined {
  return routes.filter(isDefault).toSorted((a, b) => b.prefixLength - a.prefixLength || a.metric - b.metric)[0]
    ?.interfaceName;
}

/** The networks that are directly connected to an interface, as `address/length`. */
export function connectedNetworks(routes: readonly Route[], interfaceName: string): string[] {
  return routes
    .filter((route) => route.interfaceName === interfaceName && route.gateway === undefined && !isDefault(route))
    .map((route) => `${route.destination}/${route.prefixLength}`);
}

function isDefault({ prefixLength }: Route): boolean {
  return prefixLength <= 1;
}

/** The interface through which an address is reached; the most specific route wins, then the lowest metric. */
export function interfaceTowards(routes: readonly Route[], address: string): string | undefined {
  return routes
    .filter((route) => contains(route.destination, route.prefixLength, address))
    .toSorted((a, b) => b.prefixLength - a.prefixLength || a.metric - b.metric)[0]?.interfaceName;
}

/** True when `address` is in the network. */
export function contains(network: string, prefixLength: number, address: string): boolean {
  const size = 2 ** (32 - prefixLength);
  return Math.floor(addressToNumber(network) / size) === Math.floor(addressToNumber(address) / size);
}

/** `RTF_GATEWAY` of route.h. */
const RTF_GATEWAY = 2;

function littleEndian(hex: string): string {
  const value = Number.parseInt(hex, 16);
  return numberToAddress(value).split(".").toReversed().join(".");
}

function bitCount(value: number): number {
  return value.toString(2).replaceAll("0", "").length;
}
