/** How help looks: sections of commands with their summaries, examples, where to go on. */
import { styleText } from "node:util";
import type { HelpConfiguration } from "commander";

const MOST_COLUMNS = 100;

/** Titles are bold where the terminal shows it; commander takes styles out where it does not. */
const title = (text: string): string => styleText("bold", text, { validateStream: false });

export const helpOfProgram: HelpConfiguration = {
  showGlobalOptions: false,
  subcommandTerm: (command) => command.name(),
  sortSubcommands: false,
  helpWidth: Math.min(process.stdout.columns ?? MOST_COLUMNS, MOST_COLUMNS),
  styleTitle: title,
};

/** The last part of a help text. */
export function examplesHelp(examples: readonly (readonly [string, string])[], more?: string): string {
  const lines = examples.map(([line, what]) => [`  # ${what}`, `  ${line}`]);
  return ["", title("Examples:"), ...lines.flat(), ...(more === undefined ? [] : ["", more])].join("\n");
}
