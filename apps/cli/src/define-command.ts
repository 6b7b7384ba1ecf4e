/**
 * A command is a declaration: name, arguments, options, examples, and what it does. `program.ts` makes
 * the parser, the help and the shell completion from it.
 */
import type { ApiClient } from "./api/client.ts";
import type { Completes } from "./completion/completes.ts";
import type { CliConfig } from "./config.ts";
import type { Interrupts } from "./terminal/interrupts.ts";
import type { Output } from "./terminal/output.ts";

/** What every command is given. */
export interface CommandContext {
  config: CliConfig;
  output: Output;
  interrupts: Interrupts;
  /** Aborted by the first Ctrl-C, unless the command has taken the signals. */
  signal: AbortSignal;
  /** The platform's API; does not speak to it yet. */
  connect: () => Promise<ApiClient>;
  /** The whole command line's grammar. */
  commands: readonly (CommandDefinition | CommandGroup)[];
}

export interface OptionDefinition {
  /** In commander's form, such as `--memory <size>`. */
  flags: string;
  description: string;
  /** Turns the text into a value, or throws WrennError `invalid_request`. Repeated options get the value before. */
  parse?: (text: string, before: unknown) => unknown;
  choices?: readonly string[];
  completes?: Completes;
  default?: unknown;
}

export interface ArgumentDefinition {
  /** `<name>` required, `[name]` optional, `...` for many. */
  syntax: string;
  description: string;
  choices?: readonly string[];
  completes?: Completes;
}

export interface CommandDefinition<Options = Record<string, unknown>> {
  name: string;
  aliases?: readonly string[];
  /** One line in the list of commands. */
  summary: string;
  /** Paragraphs of its own help; the summary when absent. */
  description?: readonly string[];
  arguments?: readonly ArgumentDefinition[];
  options?: readonly OptionDefinition[];
  /** `[command line, what it does]`. */
  examples: readonly (readonly [string, string])[];
  /** Everything after the first argument belongs to another program. */
  passThrough?: boolean;
  /** Exit code when Wrenn itself fails, whatever the reason. */
  failureExitCode?: number;
  /** False for commands whose output is a text of its own. */
  json?: boolean;
  /** @returns the exit code; nothing means 0. */
  run(context: CommandContext, args: string[], options: Options): Promise<number | void>;
}

/** A noun with its verbs. */
export interface CommandGroup {
  name: string;
  summary: string;
  /** Paragraphs of its own help; the summary when absent. */
  description?: readonly string[];
  examples: readonly (readonly [string, string])[];
  commands: readonly CommandDefinition[];
}

/** Commands that belong together, as help shows them. */
export interface CommandSection {
  title: string;
  commands: readonly (CommandDefinition | CommandGroup)[];
}

export function defineCommand<Options = Record<string, unknown>>(
  definition: CommandDefinition<Options>,
): CommandDefinition {
  return definition as CommandDefinition;
}

export function isGroup(entry: CommandDefinition | CommandGroup): entry is CommandGroup {
  return "commands" in entry;
}
