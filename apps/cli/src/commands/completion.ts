import { defineCommand } from "../define-command.ts";
import { SHELLS, type Shell } from "../completion/shells.ts";

export const completionCommand = defineCommand({
  name: "completion",
  summary: "Print a shell's completion script",
  description: [
    "Prints a script that completes commands, options and their values, and the names of sandboxes, templates, teams and keys, which it asks the platform for.",
  ],
  arguments: [{ syntax: "<shell>", description: "the shell", choices: SHELLS }],
  examples: [
    ["source <(wrenn completion bash)", "for this bash; add it to ~/.bashrc for every one"],
    ["source <(wrenn completion zsh)", "for this zsh, after compinit; add it to ~/.zshrc for every one"],
    ["wrenn completion fish > ~/.config/fish/completions/wrenn.fish", "for every fish"],
  ],
  json: false,
  async run({ output }, [shell]) {
    const { completionScript } = await import("../completion/scripts.ts");
    output.line(completionScript(shell as Shell));
  },
});
