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

/** A chain as `nft -j list chains` tells it; the last three are there for base chains only. */
export interface Chain {
  family: string;
  table: string;
  name: string;
  hook?: string;
  prio?: number;
  policy?: string;
}

/** A set as `nft -j list sets` tells it. */
export interface NamedSet {
  family: string;
  table: string;
  name: string;
  elem?: unknown[];
}

/** Every chain of this namespace, or of the one at `namespacePath`. */
export async function listChains(namespacePath?: string): Promise<Chain[]> {
  return (await list("chains", namespacePath)).flatMap(({ chain }) => chain ?? []);
}

/** Every set of this namespace with its elements. */
export async function listSets(): Promise<NamedSet[]> {
  return (await list("sets", undefined)).flatMap(({ set }) => set ?? []);
}

async function list(what: "chains" | "sets", namespacePath: string | undefined) {
  const { stdout } = await run([...inside(namespacePath), "nft", "-j", "list", what]);
  const { nftables } = JSON.parse(stdout) as { nftables?: { chain?: Chain; set?: NamedSet }[] };
  if (nftables === undefined) throw new WrennError("internal", `Cannot list ${what} with nft: unknown format`);
  return nftables;
}

/** The words that run the rest of an argv in a network namespace. */
export function inside(namespacePath: string | undefined): [] | [string, string] {
  return namespacePath === undefined ? [] : ["nsenter", `--net=${namespacePath}`];
}
