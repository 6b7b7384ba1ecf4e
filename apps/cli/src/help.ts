/** How help looks: commands with their summaries only, examples last. */
import type { HelpConfiguration } from "commander";

export const helpOfProgram: HelpConfiguration = {
  showGlobalOptions: false,
  subcommandTerm: (command) => command.name(),
  sortSubcommands: false,
  helpWidth: Math.min(process.stdout.columns ?? 100, 100),
};

/** The last part of a help text. */
export function examplesHelp(examples: readonly (readonly [string, string])[]): string {
  const width = Math.max(...examples.map(([line]) => line.length));
  return ["", "Examples:", ...examples.map(([line, what]) => `  ${line.padEnd(width)}  # ${what}`)].join("\n");
}
