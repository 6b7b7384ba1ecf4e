/** The command line as completion sees it: which words may follow which. */
import type { ArgumentDefinition, CommandDefinition, CommandGroup, OptionDefinition } from "../define-command.ts";
import { isGroup } from "../define-command.ts";

export interface Word {
  word: string;
  summary: string;
}

export interface CompletedOption extends Word {
  short?: string;
  /** True when a value follows. */
  takesValue: boolean;
  choices: readonly string[];
}

export interface CompletedCommand {
  /** `up`, `sandbox`, `sandbox create`. */
  path: string;
  summary: string;
  /** Words that may follow: verbs of a group, choices of an argument. */
  words: readonly Word[];
  options: readonly CompletedOption[];
}

/** Every command and group. */
export function describeGrammar(commands: readonly (CommandDefinition | CommandGroup)[]): CompletedCommand[] {
  return commands.flatMap((entry) => {
    if (!isGroup(entry)) return [describe(entry, entry.name)];
    const words = entry.commands.map(({ name, summary }) => ({ word: name, summary }));
    const group = { path: entry.name, summary: entry.summary, words, options: [] };
    return [group, ...entry.commands.map((command) => describe(command, `${entry.name} ${command.name}`))];
  });
}

function describe(
  { summary, arguments: args = [], options = [], json }: CommandDefinition,
  path: string,
): CompletedCommand {
  return {
    path,
    summary,
    words: args.flatMap(({ choices = [] }: ArgumentDefinition) => choices.map((word) => ({ word, summary: "" }))),
    options: [
      ...options.map(describeOption),
      ...(json === false ? [] : [{ word: "--json", summary: "Print JSON", takesValue: false, choices: [] }]),
      { word: "--help", short: "-h", summary: "Show help", takesValue: false, choices: [] },
    ],
  };
}

function describeOption({ flags, description, choices = [] }: OptionDefinition): CompletedOption {
  const [, short, word = "", value] = /^(?:(-\w), )?(--[\w-]+)(?: (<.+>))?$/.exec(flags) ?? [];
  return {
    word,
    ...(short === undefined ? {} : { short }),
    summary: description,
    takesValue: value !== undefined,
    choices,
  };
}
