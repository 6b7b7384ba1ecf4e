/**
 * What may follow the words of a command line. The shells' scripts ask for it at every Tab
 * (`wrenn __complete WORD...`, the last word being the one under the cursor).
 */
import {
  isGroup,
  type ArgumentDefinition,
  type CommandDefinition,
  type CommandGroup,
  type OptionDefinition,
} from "../define-command.ts";
import type { Candidate, Completes } from "./completes.ts";

export interface Completion {
  candidates: readonly Candidate[];
  /** What the shell itself knows, and offers when there are no candidates. */
  otherwise: "nothing" | "files" | "commands";
}

/** Things of the platform by their kind; nothing when it cannot be asked. */
export type Lookup = (kind: Completes) => Promise<readonly Candidate[]>;
type Commands = readonly (CommandDefinition | CommandGroup)[];
type Value = Pick<ArgumentDefinition, "choices" | "completes">;

const HELP: Candidate = { word: "help", summary: "Show help for a command" };
const HELP_OPTION: OptionDefinition = { flags: "-h, --help", description: "show help" };
const JSON_OPTION: OptionDefinition = { flags: "--json", description: "print JSON" };
const PROGRAM_OPTIONS: readonly OptionDefinition[] = [
  { flags: "-V, --version", description: "print the version" },
  HELP_OPTION,
];
const NOTHING: Completion = { candidates: [], otherwise: "nothing" };

/** @param words all after `wrenn`, up to the one under the cursor, which may be empty */
export async function complete(words: readonly string[], commands: Commands, lookup: Lookup): Promise<Completion> {
  const [first = "", ...rest] = words;
  if (rest.length === 0) return offer(first, [...names(commands), HELP], PROGRAM_OPTIONS);
  if (first === HELP.word) return await complete(rest, commands, async () => []).then(onlyNames);
  const entry = commands.find(({ name }) => name === first);
  if (entry === undefined) return NOTHING;
  if (!isGroup(entry)) return await completeCommand(rest, entry, lookup);
  const [verb = "", ...more] = rest;
  if (more.length === 0) return offer(verb, [...names(entry.commands), HELP], [HELP_OPTION]);
  if (verb === HELP.word) return more.length === 1 ? offer(more[0] ?? "", names(entry.commands), []) : NOTHING;
  const command = entry.commands.find(({ name, aliases = [] }) => name === verb || aliases.includes(verb));
  return command === undefined ? NOTHING : await completeCommand(more, command, lookup);
}

/** Behind `help` there are commands only. */
function onlyNames({ candidates }: Completion): Completion {
  return {
    candidates: candidates.filter(({ word }) => !word.startsWith("-") && word !== HELP.word),
    otherwise: "nothing",
  };
}

async function completeCommand(
  words: readonly string[],
  command: CommandDefinition,
  lookup: Lookup,
): Promise<Completion> {
  const options = [...(command.options ?? []), ...(command.json === false ? [] : [JSON_OPTION]), HELP_OPTION];
  const current = words.at(-1) ?? "";
  const { values, pending, ended } = read(words.slice(0, -1), command, options);
  if (pending !== undefined) return await offerValue(current, pending, lookup);
  const [, flag, part] = (ended ? null : /^(--[\w-]+)=(.*)$/s.exec(current)) ?? [];
  const option = options.find((one) => namesOf(one).includes(flag ?? ""));
  if (option !== undefined) return withPrefix(`${flag}=`, await offerValue(part ?? "", option, lookup));
  if (current.startsWith("-") && !ended) return offer(current, [], options);
  const args = command.arguments ?? [];
  const last = args.at(-1);
  const argument = args[values] ?? (last?.syntax.includes("...") === true ? last : undefined);
  const found = argument === undefined ? NOTHING : await offerValue(current, argument, lookup);
  if (found.candidates.length > 0 || found.otherwise !== "nothing" || ended) return found;
  return offer(current, [], options);
}

/** What the words before the cursor say: arguments so far, an option that waits for its value, the end of options. */
function read(
  words: readonly string[],
  { passThrough = false }: CommandDefinition,
  options: readonly OptionDefinition[],
) {
  let values = 0;
  let pending: OptionDefinition | undefined;
  let ended = false;
  for (const word of words) {
    if (pending !== undefined) pending = undefined;
    else if (word === "--" && !ended) ended = true;
    else if (word.startsWith("-") && word !== "-" && !ended)
      pending = options.find((one) => namesOf(one).includes(word) && takesValue(one));
    else values += 1;
    if (passThrough && values > 0) ended = true;
  }
  return { values, pending, ended };
}

async function offerValue(current: string, { choices, completes }: Value, lookup: Lookup): Promise<Completion> {
  if (choices !== undefined)
    return offer(
      current,
      choices.map((word) => ({ word, summary: "" })),
      [],
    );
  if (completes === undefined) return NOTHING;
  if (completes === "file") return { candidates: [], otherwise: "files" };
  if (completes === "command") return { candidates: [], otherwise: "commands" };
  return offer(current, await lookup(completes), []);
}

/** Those that begin as `current`; options only where one was begun or nothing else may come. */
function offer(current: string, words: readonly Candidate[], options: readonly OptionDefinition[]): Completion {
  const flags = current.startsWith("-") || words.length === 0 ? options.map(candidateOf) : [];
  return { candidates: [...words, ...flags].filter(({ word }) => word.startsWith(current)), otherwise: "nothing" };
}

function withPrefix(prefix: string, { candidates, otherwise }: Completion): Completion {
  return { candidates: candidates.map(({ word, summary }) => ({ word: prefix + word, summary })), otherwise };
}

function names(commands: Commands): Candidate[] {
  return commands.map(({ name, summary }) => ({ word: name, summary }));
}

function namesOf({ flags }: OptionDefinition): string[] {
  return flags.replace(/ <.*/, "").split(", ");
}

function takesValue({ flags }: OptionDefinition): boolean {
  return flags.includes("<");
}

function candidateOf(option: OptionDefinition): Candidate {
  return { word: namesOf(option).at(-1) ?? "", summary: option.description };
}
