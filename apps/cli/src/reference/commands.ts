/** The part of docs/reference/cli.md that the declarations of the commands say. */
import { isGroup, type CommandDefinition, type CommandGroup } from "../define-command.ts";

/** The document's text after this line is made by `renderCommands`. */
export const MARKER =
  "<!-- What follows is made from the commands' declarations: node apps/cli/src/reference/main.ts -->";

export function renderCommands(commands: readonly (CommandDefinition | CommandGroup)[]): string {
  return commands
    .flatMap((entry) =>
      isGroup(entry)
        ? entry.commands.map((command) => render(command, `${entry.name} ${command.name}`))
        : [render(entry, entry.name)],
    )
    .join("\n");
}

function render(command: CommandDefinition, path: string): string {
  const { summary, description, arguments: args = [], options = [], aliases = [], examples } = command;
  const usage = ["wrenn", path, "[options]", ...args.map(({ syntax }) => syntax)].join(" ");
  const rows = [
    ...args.map(({ syntax, description: what, choices }) => [
      syntax,
      choices === undefined ? what : `${what}: ${choices.join(", ")}`,
    ]),
    ...options.map(({ flags, description: what, choices }) => [
      flags,
      choices === undefined ? what : `${what}: ${choices.join(", ")}`,
    ]),
  ];
  return [
    `## wrenn ${path}`,
    "",
    ...(description ?? [`${summary}.`]).flatMap((paragraph) => [paragraph, ""]),
    `    ${usage}`,
    "",
    ...(aliases.length === 0 ? [] : [`Also: ${aliases.map((alias) => `\`${alias}\``).join(", ")}.`, ""]),
    ...(rows.length === 0
      ? []
      : ["| | |", "| --- | --- |", ...rows.map(([name = "", what = ""]) => `| \`${name}\` | ${cell(what)} |`), ""]),
    "```sh",
    ...examples.map(([line, what]) => `${line}  # ${what}`),
    "```",
    "",
  ].join("\n");
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
}
