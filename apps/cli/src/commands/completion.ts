import { defineCommand } from "../define-command.ts";
import { SHELLS, type Shell } from "../completion/shells.ts";

export const completionCommand = defineCommand({
  name: "completion",
  summary: "Print a shell's completion script",
  arguments: [{ syntax: "<shell>", description: "the shell", choices: SHELLS }],
  examples: [
    ["source <(wrenn completion bash)", "for this bash; add it to ~/.bashrc for every one"],
    ["wrenn completion fish > ~/.config/fish/completions/wrenn.fish", "for every fish"],
  ],
  json: false,
  async run({ output, commands }, [shell]) {
    const { describeGrammar } = await import("../completion/grammar.ts");
    const { completionScript } = await import("../completion/scripts.ts");
    output.line(completionScript(shell as Shell, describeGrammar(commands)));
  },
});
