import { WrennError } from "@wrenn/errors";
import { defineCommand } from "../../define-command.ts";
import type { SandboxPath } from "../../api/client.ts";

export const cpCommand = defineCommand({
  name: "cp",
  summary: "Copy files and directories into or out of a sandbox",
  description: [
    "Copies a file, or a directory with all that is in it. A path in a sandbox is written <id>:<path>; - is standard input or output, where a directory is a tar archive.",
    "Into a directory that is there the copy goes under its own name; otherwise it gets the name that is given. /. at the end of a directory means what is in it. Out of a sandbox come files, directories and the links between them, which then belong to you; what leads out of the directory, devices and sockets are left out and named.",
  ],
  arguments: [
    { syntax: "<from>", description: "a file or directory here, <id>:<path>, or -", completes: "file" },
    { syntax: "<to>", description: "a file or directory here, <id>:<path>, or -", completes: "file" },
  ],
  examples: [
    ["wrenn sandbox cp data.csv $id:/home/user/data.csv", "into the sandbox"],
    ["wrenn sandbox cp ./project $id:/home/user", "a directory, as /home/user/project"],
    ["wrenn sandbox cp $id:/home/user/project/. results", "what is in a directory, into results"],
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
    else if (source !== undefined) {
      const leftOut = await download(client, source, to, signal);
      for (const line of leftOut) output.note(`left out ${line}`);
      if (leftOut.length > 0)
        throw new WrennError(
          "unsupported",
          `Cannot copy all of ${from}: ${leftOut.length} of its entries were left out`,
        );
    }
    if (output.json && to !== "-") output.line(JSON.stringify({ from, to }));
  },
});

function inSandbox(text: string): SandboxPath | undefined {
  const [, id, path] = /^(sb[0-9a-z]{20}):(.+)$/s.exec(text) ?? [];
  return id === undefined || path === undefined ? undefined : { id, path };
}
