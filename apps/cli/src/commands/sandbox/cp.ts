import { WrennError } from "@wrenn/errors";
import { defineCommand } from "../../define-command.ts";
import type { SandboxPath } from "../../files/copy.ts";

export const cpCommand = defineCommand({
  name: "cp",
  summary: "Copy a file into or out of a sandbox",
  description: ["Copies one file. A path in a sandbox is written <id>:<path>; - is standard input or output."],
  arguments: [
    { syntax: "<from>", description: "a file here, <id>:<path>, or -", completes: "file" },
    { syntax: "<to>", description: "a file or directory here, <id>:<path>, or -", completes: "file" },
  ],
  examples: [
    ["wrenn sandbox cp data.csv $id:/home/user/data.csv", "into the sandbox"],
    ["wrenn sandbox cp $id:/etc/os-release -", "out of it, to standard output"],
  ],
  async run({ connect, output, signal }, [from = "", to = ""]) {
    const { download, upload } = await import("../../files/copy.ts");
    const [source, target] = [inSandbox(from), inSandbox(to)];
    if ((source === undefined) === (target === undefined)) {
      throw new WrennError("invalid_request", "Cannot copy: one of the two paths has to be in a sandbox", {
        hint: "Write it as <id>:<path>",
      });
    }
    const client = await connect();
    if (target !== undefined) await upload(client, from, target, signal);
    else if (source !== undefined) await download(client, source, to, signal);
    if (output.json && to !== "-") output.line(JSON.stringify({ from, to }));
  },
});

function inSandbox(text: string): SandboxPath | undefined {
  const [, id, path] = /^(sb[0-9a-z]{20}):(.+)$/s.exec(text) ?? [];
  return id === undefined || path === undefined ? undefined : { id, path };
}
