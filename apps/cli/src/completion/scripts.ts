/** Completion scripts. Each holds the whole grammar, so that completing starts no process. */
import type { CompletedCommand, CompletedOption } from "./grammar.ts";
import type { Shell } from "./shells.ts";

export function completionScript(shell: Shell, grammar: readonly CompletedCommand[]): string {
  switch (shell) {
    case "bash":
      return bashScript(grammar);
    case "zsh":
      return zshScript(grammar);
    case "fish":
      return fishScript(grammar);
  }
}

/** What follows a path of commands, for shells that match words themselves. */
function wordsAfter(grammar: readonly CompletedCommand[], path: string): string {
  const options = grammar.find((command) => command.path === path)?.options ?? [];
  const words = grammar.find((command) => command.path === path)?.words ?? [];
  return [...words, ...options].map(({ word }) => word).join(" ");
}

function topLevel(grammar: readonly CompletedCommand[]): CompletedCommand[] {
  return grammar.filter(({ path }) => !path.includes(" "));
}

function bashScript(grammar: readonly CompletedCommand[]): string {
  const names = [...topLevel(grammar).map(({ path }) => path), "help", "--help", "--version"].join(" ");
  const cases = grammar.map(({ path }) => `    ${quote(path)}) words=${quote(wordsAfter(grammar, path))} ;;`);
  const groups = topLevel(grammar).filter(({ path }) => grammar.some((one) => one.path.startsWith(`${path} `)));
  return `# bash completion for wrenn: source <(wrenn completion bash)
_wrenn() {
  local current=\${COMP_WORDS[COMP_CWORD]} path="" words="" word index
  COMPREPLY=()
  for ((index = 1; index < COMP_CWORD; index++)); do
    word=\${COMP_WORDS[index]}
    case $word in
    --) # another program's words begin
      COMPREPLY=($(compgen -c -f -- "$current"))
      return
      ;;
    -*) continue ;;
    esac
    if [[ -z $path ]]; then
      path=$word
    elif [[ $path =~ ^(${groups.map(({ path }) => path).join("|")})$ ]]; then
      path="$path $word"
    fi
  done
  case $path in
    "") words=${quote(names)} ;;
${cases.join("\n")}
  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  [[ \${#COMPREPLY[@]} -gt 0 || $current == -* ]] || COMPREPLY=($(compgen -f -- "$current"))
}
complete -F _wrenn wrenn ./wrenn`;
}

function zshScript(grammar: readonly CompletedCommand[]): string {
  const described = (entries: readonly { word: string; summary: string }[]): string =>
    entries.map(({ word, summary }) => quote(`${word.replaceAll(":", "\\:")}:${summary}`)).join(" ");
  const top = topLevel(grammar).map(({ path, summary }) => ({ word: path, summary }));
  const cases = grammar.map(
    ({ path, words, options }) => `    ${quote(path)}) entries=(${described([...words, ...options])}) ;;`,
  );
  const groups = topLevel(grammar).filter(({ path }) => grammar.some((one) => one.path.startsWith(`${path} `)));
  return `#compdef wrenn
# zsh completion for wrenn: source <(wrenn completion zsh)
_wrenn() {
  local path="" word
  local -a entries
  for word in \${words[2,CURRENT-1]}; do
    case $word in
      --) _normal; return ;;
      -*) continue ;;
    esac
    if [[ -z $path ]]; then
      path=$word
    elif [[ $path == (${groups.map(({ path }) => path).join("|")}) ]]; then
      path="$path $word"
    fi
  done
  case $path in
    "") entries=(${described([...top, { word: "help", summary: "Show help for a command" }])}) ;;
${cases.join("\n")}
  esac
  _describe wrenn entries || _files
}
compdef _wrenn wrenn`;
}

function fishScript(grammar: readonly CompletedCommand[]): string {
  const lines = ["# fish completion for wrenn", "complete -c wrenn -f"];
  for (const { path, summary } of topLevel(grammar)) {
    lines.push(`complete -c wrenn -n __fish_use_subcommand -a ${path} -d ${quote(summary)}`);
  }
  for (const { path, words, options } of grammar) {
    const when = condition(path, words);
    for (const { word, summary } of words)
      lines.push(`complete -c wrenn -n ${quote(when)} -a ${word} -d ${quote(summary)}`);
    for (const option of options) lines.push(`complete -c wrenn -n ${quote(when)} ${fishOption(option)}`);
  }
  return lines.join("\n");
}

function condition(path: string, words: readonly { word: string }[]): string {
  const seen = path.split(" ").map((word) => `__fish_seen_subcommand_from ${word}`);
  const notYet =
    words.length === 0 ? [] : [`not __fish_seen_subcommand_from ${words.map(({ word }) => word).join(" ")}`];
  return [...seen, ...notYet].join("; and ");
}

function fishOption({ word, short, summary, takesValue, choices }: CompletedOption): string {
  return [
    `-l ${word.slice(2)}`,
    short === undefined ? "" : `-s ${short.slice(1)}`,
    takesValue ? `-r${choices.length > 0 ? ` -a ${quote(choices.join(" "))}` : ""}` : "",
    `-d ${quote(summary)}`,
  ]
    .filter(Boolean)
    .join(" ");
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}
