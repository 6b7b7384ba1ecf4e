/** `wrenn __complete WORD...`: what the shells' scripts ask at every Tab. */
import type { CommandDefinition, CommandGroup } from "../define-command.ts";
import { EXIT } from "../exit-code.ts";
import { complete } from "./complete.ts";

/** Not a command of people's. */
export const COMPLETE = "__complete";

/** Prints what the shell may offer instead, then one candidate a line: word, tab, summary. */
export async function printCompletion(
  words: readonly string[],
  commands: readonly (CommandDefinition | CommandGroup)[],
): Promise<number> {
  const { candidates, otherwise } = await complete(words, commands, async (kind) => {
    const { readConfig } = await import("../config.ts");
    const { connect } = await import("../api/connect.ts");
    const { lookUp } = await import("./lookup.ts");
    return await lookUp(async () => await connect(readConfig()), kind);
  });
  const lines = [otherwise, ...candidates.map(({ word, summary }) => `${word}\t${summary}`)];
  process.stdout.write(`${lines.join("\n")}\n`);
  return EXIT.done;
}
