/** The `nft` tool: one call is one transaction. */
import { run } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";

/** Loads rules in this namespace, or in the one at `namespacePath`. */
export async function loadRules(rules: string, namespacePath?: string): Promise<void> {
  await run([...inside(namespacePath), "nft", "-f", "-"], { input: rules });
}

/** Removes a table of the inet family; a missing one is success. */
export async function removeTable(name: string): Promise<void> {
  // `add` first, so that the transaction holds whether the table is there or not
  await loadRules(`add table inet ${name}\ndelete table inet ${name}\n`);
}

/** A chain as `nft -j` tells it; hook and policy are there for base chains only. */
export interface Chain {
  family: string;
  table: string;
  name: string;
  hook?: string;
  policy?: string;
}

/** A rule as `nft -j` tells it. */
export interface Rule {
  family: string;
  table: string;
  chain: string;
  handle: number;
  comment?: string;
  expr: Record<string, unknown>[];
}

/** A set as `nft -j` tells it. */
export interface NamedSet {
  family: string;
  table: string;
  name: string;
  elem?: unknown[];
}

/** All rules of a namespace. */
export interface Ruleset {
  chains: Chain[];
  rules: Rule[];
  sets: NamedSet[];
}

/** Reads the ruleset of this namespace, or of the one at `namespacePath`. */
export async function readRuleset(namespacePath?: string): Promise<Ruleset> {
  const { stdout } = await run([...inside(namespacePath), "nft", "-a", "-j", "list", "ruleset"]);
  const { nftables } = JSON.parse(stdout) as { nftables?: { chain?: Chain; rule?: Rule; set?: NamedSet }[] };
  if (nftables === undefined) throw new WrennError("internal", "Cannot list the rules of nft: unknown format");
  return {
    chains: nftables.flatMap(({ chain }) => chain ?? []),
    rules: nftables.flatMap(({ rule }) => rule ?? []),
    sets: nftables.flatMap(({ set }) => set ?? []),
  };
}

/** The words that run the rest of an argv in a network namespace. */
export function inside(namespacePath: string | undefined): [] | [string, string] {
  return namespacePath === undefined ? [] : ["nsenter", `--net=${namespacePath}`];
}
