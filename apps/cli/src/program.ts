/**
 * Makes commander's program from the declarations in commands/, and runs it. Usage mistakes and errors
 * of commands end in one place, with one shape.
 */
import { Argument, Command, CommanderError, Option } from "commander";
import { WrennError } from "@wrenn/errors";
import type { ApiClient } from "./api/client.ts";
import { COMMANDS, SECTIONS } from "./commands/index.ts";
import { COMPLETE, printCompletion } from "./completion/print.ts";
import { isGroup, type CommandDefinition, type CommandGroup } from "./define-command.ts";
import { EXIT, exitCodeOf } from "./exit-code.ts";
import { helpOfProgram, examplesHelp } from "./help.ts";
import { meantBy } from "./meant.ts";
import { Interrupts } from "./terminal/interrupts.ts";
import { Output } from "./terminal/output.ts";
import { VERSION } from "./version.ts";

/** Runs one command line; returns the exit code. Never throws. */
export async function main(argv: readonly string[]): Promise<number> {
  if (argv[0] === COMPLETE) return await printCompletion(argv.slice(1), COMMANDS);
  let exitCode: number = EXIT.done;
  const program = buildProgram(async (definition, args, options) => {
    exitCode = await execute(definition, args, options);
  });
  if (argv.length === 0) {
    program.outputHelp();
    return EXIT.done;
  }
  const words = helpArgv(argv);
  try {
    await program.parseAsync(words, { from: "user" });
    return exitCode;
  } catch (error) {
    if (!(error instanceof CommanderError) && !(error instanceof WrennError)) throw error;
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT.done; // help was asked for
    new Output({ json: wantsJson(argv) }).error(usageError(error, pathOf(words)));
    return failureExitCodeOf(argv) ?? EXIT.usage;
  }
}

/** `help sandbox create` is `sandbox create --help`, and so is a noun without a verb; commander knows neither. */
function helpArgv(argv: readonly string[]): readonly string[] {
  const [first, ...words] = argv;
  if (words.length === 0 && COMMANDS.some((entry) => entry.name === first && isGroup(entry)))
    return [...argv, "--help"];
  if (first !== "help" || words.length === 0) return argv;
  return isCommand(words) ? [...words, "--help"] : words; // of what does not exist, that is told
}

function isCommand([first, second]: readonly string[]): boolean {
  const entry = COMMANDS.find(({ name }) => name === first);
  if (entry === undefined || second === undefined || !isGroup(entry)) return entry !== undefined;
  return entry.commands.some(({ name, aliases = [] }) => name === second || aliases.includes(second));
}

type Execute = (definition: CommandDefinition, args: string[], options: Record<string, unknown>) => Promise<void>;

async function execute(
  definition: CommandDefinition,
  args: string[],
  options: Record<string, unknown>,
): Promise<number> {
  const output = new Output({ json: options["json"] === true });
  const interrupts = new Interrupts();
  interrupts.listen();
  try {
    // imported when a command runs: help needs neither schemas nor the API
    const { readConfig } = await import("./config.ts");
    const config = readConfig();
    const connect = async (): Promise<ApiClient> => await (await import("./api/connect.ts")).connect(config);
    const context = { config, output, interrupts, signal: interrupts.signal, connect, commands: COMMANDS };
    return (await definition.run(context, args, options)) ?? EXIT.done;
  } catch (thrown) {
    const error = WrennError.from(thrown);
    if (interrupts.exitCode !== undefined && error.code === "canceled") return interrupts.exitCode;
    output.error(error);
    return definition.failureExitCode ?? exitCodeOf(error);
  }
}

/** The whole grammar of the command line. */
function buildProgram(run: Execute): Command {
  const program = new Command("wrenn")
    .description("Self-hosted sandboxes: real microVMs from one command, with or without KVM.")
    .version(VERSION, "-V, --version", "print the version")
    .helpOption("-h, --help", "show help")
    .commandsGroup(HELP_SECTION)
    .helpCommand("help [command]", "Show help for a command")
    .enablePositionalOptions()
    .configureHelp(helpOfProgram)
    .addHelpText("after", examplesHelp(PROGRAM_EXAMPLES, MORE));
  prepare(program);
  for (const { title, commands } of SECTIONS) {
    for (const entry of commands)
      program.addCommand((isGroup(entry) ? group(entry, run) : command(entry, run)).helpGroup(`${title}:`));
  }
  return program;
}

const PROGRAM_EXAMPLES = [
  ["wrenn run -- python3 -c 'print(2**100)'", "run a command in a new sandbox"],
  ["wrenn up --detach", "start the platform and return when it is ready"],
  ['eval "$(wrenn env)"', "let SDKs and scripts find it"],
] as const;
const HELP_SECTION = "Shells and scripts:";
const MORE = `Learn more:
  wrenn COMMAND --help tells of one command, its options and examples.
  The documentation is in docs/README.md. The running platform serves it at http://127.0.0.1:7780/guide,
  with a console at /test and the API's reference at /docs.`;

function group(definition: CommandGroup, run: Execute): Command {
  const parent = new Command(definition.name)
    .summary(definition.summary)
    .description(definition.description?.join("\n\n") ?? `${definition.summary}.`)
    .helpOption("-h, --help", "show help")
    .helpCommand("help [command]", "Show help for a command")
    .enablePositionalOptions()
    .configureHelp(helpOfProgram)
    .addHelpText("after", examplesHelp(definition.examples));
  prepare(parent);
  for (const entry of definition.commands) parent.addCommand(command(entry, run));
  return parent;
}

function command(definition: CommandDefinition, run: Execute): Command {
  const made = new Command(definition.name)
    .summary(definition.summary)
    .description(definition.description?.join("\n\n") ?? `${definition.summary}.`)
    .aliases([...(definition.aliases ?? [])])
    .helpOption("-h, --help", "show help")
    .configureHelp(helpOfProgram)
    .passThroughOptions(definition.passThrough ?? false);
  prepare(made);
  for (const { syntax, description, choices } of definition.arguments ?? []) {
    const argument = new Argument(syntax, description);
    made.addArgument(choices === undefined ? argument : argument.choices(choices));
  }
  for (const { flags, description, parse, choices, default: value } of definition.options ?? []) {
    const option = new Option(flags, description);
    if (parse !== undefined) option.argParser(named(option, parse));
    if (choices !== undefined) option.choices(choices);
    if (value !== undefined) option.default(value);
    made.addOption(option);
  }
  if (definition.json !== false) made.option("--json", "print JSON");
  made.addHelpText("after", examplesHelp(definition.examples));
  made.action(async (...values: unknown[]) => {
    const args = values
      .slice(0, -2)
      .flat()
      .filter((value) => value !== undefined) as string[];
    await run(definition, args, made.opts());
  });
  return made;
}

/** A value that cannot be read is told with the option that it was given to. */
function named(option: Option, parse: (text: string, before: unknown) => unknown): typeof parse {
  return (text, before) => {
    try {
      return parse(text, before);
    } catch (error) {
      if (!(error instanceof WrennError)) throw error;
      throw new WrennError(error.code, `${error.message} (${option.long ?? option.flags})`, {
        ...(error.hint === undefined ? {} : { hint: error.hint }),
        cause: error,
      });
    }
  };
}

/** Errors are thrown, not printed: main() prints them in the one shape. */
function prepare(made: Command): void {
  made
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .showSuggestionAfterError(true);
}

function usageError(error: CommanderError | WrennError, path: string): WrennError {
  if (error instanceof WrennError) return error;
  const [what = "", similar] = error.message.replace(/^error: /, "").split("\n");
  const unknown = error.code === "commander.unknownCommand" ? /'(.*)'/.exec(what)?.[1] : undefined;
  const meant = unknown === undefined ? [] : meantBy(unknown, path.split(" ")[1]);
  const hint =
    meant.length > 0
      ? `Did you mean ${path} ${meant.join(`, ${path} `)}?`
      : (similar?.replace(/^\((.*)\)$/, "$1") ?? `See ${path} --help`);
  return new WrennError("invalid_request", `Cannot read the command line: ${what}`, { hint });
}

function wantsJson(argv: readonly string[]): boolean {
  const end = argv.indexOf("--");
  return (end < 0 ? argv : argv.slice(0, end)).includes("--json");
}

/** The command that was named, as far as there is one: `wrenn sandbox exec`. */
function pathOf([first, second]: readonly string[]): string {
  const entry = COMMANDS.find(({ name }) => name === first);
  if (entry === undefined) return "wrenn";
  const verb = isGroup(entry) ? entry.commands.find(({ name }) => name === second) : undefined;
  return ["wrenn", entry.name, ...(verb === undefined ? [] : [verb.name])].join(" ");
}

function failureExitCodeOf(argv: readonly string[]): number | undefined {
  const [first, second] = argv;
  for (const entry of COMMANDS) {
    if (entry.name !== first) continue;
    return isGroup(entry) ? entry.commands.find(({ name }) => name === second)?.failureExitCode : entry.failureExitCode;
  }
  return undefined;
}
