/** Reads a password: without showing it in a terminal, else the first line of standard input. */
import { text } from "node:stream/consumers";
import { WrennError } from "@wrenn/errors";

const CTRL_C = "\u0003";
const CTRL_D = "\u0004";
const BACKSPACE = new Set(["\u007f", "\b"]);

/** @throws WrennError `canceled` by Ctrl-C or Ctrl-D */
export async function readPassword(prompt: string): Promise<string> {
  if (!process.stdin.isTTY) return (await text(process.stdin)).split(/\r?\n/, 1)[0] ?? "";
  process.stderr.write(prompt);
  process.stdin.setRawMode(true);
  process.stdin.setEncoding("utf8");
  try {
    return await typed();
  } finally {
    process.stdin.setRawMode(false);
    process.stdin.pause();
    process.stderr.write("\n");
  }
}

async function typed(): Promise<string> {
  let password = "";
  for await (const characters of process.stdin.iterator({ destroyOnReturn: false }) as AsyncIterable<string>) {
    for (const character of characters) {
      if (character === "\r" || character === "\n") return password;
      if (character === CTRL_C || character === CTRL_D)
        throw new WrennError("canceled", "Cannot go on without a password");
      password = BACKSPACE.has(character) ? password.slice(0, -1) : password + character;
    }
  }
  return password;
}
