/**
 * Completion scripts. Each hands the words before the cursor to `wrenn __complete`, whose first line says
 * what the shell itself may offer instead, and every other line a word, a tab and what it is.
 */
import type { Shell } from "./shells.ts";

export function completionScript(shell: Shell): string {
  switch (shell) {
    case "bash":
      return BASH;
    case "zsh":
      return ZSH;
    case "fish":
      return FISH;
  }
}

/** bash takes words apart at = and :, and replaces only what follows the last of them. */
const BASH = String.raw`# bash completion for wrenn: source <(wrenn completion bash)
_wrenn() {
  local -a words=() lines=()
  local word glue="" current prefix
  for word in "\${COMP_WORDS[@]:1:COMP_CWORD}"; do
    if [[ -n $glue || $word == [=:] ]] && ((\${#words[@]} > 0)); then
      words[-1]+=$word
    else
      words+=("$word")
    fi
    [[ $word == [=:] ]] && glue=1 || glue=""
  done
  current=\${words[-1]}
  prefix=\${current%"\${current##*[=:]}"}
  mapfile -t lines < <("\${COMP_WORDS[0]}" __complete "\${words[@]}" 2>/dev/null)
  COMPREPLY=()
  for word in "\${lines[@]:1}"; do
    word=\${word%%$'\t'*}
    COMPREPLY+=("\${word#"$prefix"}")
  done
  ((\${#COMPREPLY[@]} == 0)) || return 0
  case \${lines[0]-} in
  files) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -f -- "\${current#"$prefix"}") ;;
  commands) mapfile -t COMPREPLY < <(compgen -c -- "$current") ;;
  esac
}
complete -F _wrenn wrenn ./wrenn`.replaceAll("\\${", "${");

const ZSH = String.raw`#compdef wrenn
# zsh completion for wrenn: source <(wrenn completion zsh)
_wrenn() {
  local -a lines described
  local line tab=$'\t'
  lines=("\${(@f)$("\${words[1]}" __complete "\${(@Q)words[2,CURRENT]}" 2>/dev/null)}")
  for line in "\${(@)lines[2,-1]}"; do
    described+=("\${\${line%%$tab*}//:/\\:}:\${line#*$tab}")
  done
  if ((\${#described} > 0)); then
    _describe -V wrenn described
    return
  fi
  case $lines[1] in
    files) _files ;;
    commands) _command_names -e ;;
  esac
}
compdef _wrenn wrenn ./wrenn`.replaceAll("\\${", "${");

const FISH = String.raw`# fish completion for wrenn: wrenn completion fish | source
function __wrenn_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    set -l lines ($words[1] __complete $words[2..] "$current" 2>/dev/null)
    if test (count $lines) -gt 1
        string join \n -- $lines[2..]
        return
    end
    switch "$lines[1]"
        case files
            __fish_complete_path "$current"
        case commands
            complete -C "$current"
    end
end
complete -c wrenn -f -k -a '(__wrenn_complete)'`;
