/** What ran on which pair of VMM and disks, as a table for docs/proof.md. */
import { formatCounts, type Counts } from "./counts.ts";

export interface Shard extends Counts {
  /** Says all of it: the key of the journal. */
  what: string;
  combination: string;
  suite: string;
  seconds: number;
}

/** @param combinations the columns; @param suites the rows */
export function combinationTable(
  shards: readonly Shard[],
  combinations: readonly string[],
  suites: readonly string[],
): string {
  const row = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const cell = (suite: string, combination: string): string => {
    const shard = shards.findLast((one) => one.suite === suite && one.combination === combination);
    return shard === undefined ? "not run" : `${formatCounts(shard)}, ${Math.round(shard.seconds)} s`;
  };
  return [
    row(["", ...combinations]),
    row(["---", ...combinations.map(() => "---")]),
    ...suites.map((suite) => row([suite, ...combinations.map((combination) => cell(suite, combination))])),
  ].join("\n");
}
