/** What a Tab makes of a line in a real shell, with the completion that `wrenn completion` prints for it. */
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { finished, REPOSITORY_WRENN } from "../first-light/platform.ts";

export type Shell = "bash" | "zsh" | "fish";

const PROMPT = "READY> ";
const [TAB, SHOW, CLEAR] = ["\t", "\u0018p", "\u0015"]; // Ctrl-X p, Ctrl-U

/** Each shell's start file: completion, and a key that writes what the line has become. */
const START_FILES = {
  bash: [
    ".bashrc",
    `PS1='${PROMPT}'
source <(wrenn completion bash)
show() { printf %s "$READLINE_LINE" > "$SHOWN"; }
bind -x '"\\C-xp": show'
`,
  ],
  zsh: [
    ".zshrc",
    `PS1='${PROMPT}'
autoload -Uz compinit && compinit -u -D
source <(wrenn completion zsh)
show() { print -rn -- "$BUFFER" > "$SHOWN" }
zle -N show
bindkey '^Xp' show
`,
  ],
} as const;

/** @returns the whole line after one Tab at its end */
export async function completeInShell(shell: Shell, line: string, env: NodeJS.ProcessEnv): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), "wrenn-shell-"));
  try {
    await symlink(REPOSITORY_WRENN, join(home, "wrenn"));
    const settings = {
      ...env,
      PATH: `${home}:${env["PATH"]}`,
      TERM: "xterm",
      ZDOTDIR: home,
      SHOWN: join(home, "shown"),
    };
    if (shell === "fish") return await askFish(line, { ...settings, HOME: home, WRENN_LINE: line });
    const [file, text] = START_FILES[shell];
    await writeFile(join(home, file), text);
    await type(shell === "bash" ? `bash --rcfile ${join(home, file)} -i` : "zsh -d -i", line, settings);
    return await readFile(settings.SHOWN, "utf8");
  } finally {
    await rm(home, { recursive: true });
  }
}

/** In a terminal, as a person does. */
async function type(command: string, line: string, env: NodeJS.ProcessEnv): Promise<void> {
  const child = spawn("script", ["-qec", command, "/dev/null"], { env, stdio: "pipe" });
  let printed = "";
  child.stdout.on("data", (chunk: Buffer) => {
    const isPrompt = !printed.includes(PROMPT) && (printed += chunk.toString()).includes(PROMPT);
    if (isPrompt) child.stdin.write(`${line}${TAB}${SHOW}${CLEAR}exit\n`);
  });
  const { code } = await finished(child);
  if (code !== 0) throw new Error(`${command}: ${code}\n${printed}`);
}

/** fish tells what it would offer; when that is one word it is what a Tab fills in. */
async function askFish(line: string, env: NodeJS.ProcessEnv): Promise<string> {
  const script = 'wrenn completion fish | source; complete -C "$WRENN_LINE"';
  const { stdout } = await finished(spawn("fish", ["--no-config", "-c", script], { env, stdio: "pipe" }));
  const offered = stdout
    .toString()
    .trim()
    .split("\n")
    .map((one) => one.split("\t")[0]);
  if (offered.length !== 1) return `${line} (${offered.join(", ")})`;
  return `${line.slice(0, line.lastIndexOf(" ") + 1)}${offered[0]} `;
}
