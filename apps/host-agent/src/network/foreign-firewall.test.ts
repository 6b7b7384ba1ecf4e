import { describe, expect, it } from "vitest";
import { droppingChains } from "./foreign-firewall.ts";
import type { Chain, Rule } from "./nft.ts";

const forward = (chain: Partial<Chain>): Chain => ({
  family: "inet",
  table: "other",
  name: "f",
  hook: "forward",
  policy: "accept",
  ...chain,
});
const rule = (...expr: Record<string, unknown>[]): Rule => ({
  family: "inet",
  table: "other",
  chain: "f",
  handle: 1,
  expr,
});

describe("droppingChains()", () => {
  it("finds a policy of drop in chains for IPv4, and leaves our own tables alone", () => {
    const dropping = [
      forward({ policy: "drop" }),
      forward({ family: "ip", table: "filter", name: "FORWARD", policy: "drop" }),
    ];
    const others = [
      forward({ family: "ip6", policy: "drop" }),
      forward({ hook: "input", policy: "drop" }),
      forward({ table: "wrenn", policy: "drop" }),
      forward({ table: "wrenn_101", policy: "drop" }),
    ];
    expect(droppingChains({ chains: [...others, ...dropping], rules: [], sets: [] })).toEqual(dropping);
  });

  it("finds a chain that ends in a drop or reject without a condition, as firewalld's does", () => {
    const chains = [forward({})];
    const condition = { match: { op: "==", left: { meta: { key: "iifname" } }, right: "eth0" } };
    for (const last of [rule({ drop: null }), rule({ counter: {} }, { reject: { type: "icmpx" } })]) {
      expect(droppingChains({ chains, rules: [rule({ accept: null }), last], sets: [] })).toEqual(chains);
    }
    for (const last of [rule(condition, { drop: null }), rule({ accept: null }), rule({ counter: {} })]) {
      expect(droppingChains({ chains, rules: [rule({ drop: null }), last], sets: [] })).toEqual([]);
    }
  });
});
