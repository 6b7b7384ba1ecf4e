import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { remove, rename, statIfExists } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { connect } from "../../api/connect.ts";
import type { ApiClient } from "../../api/client.ts";
import { defineCommand } from "../../define-command.ts";
import { writeAll } from "../../exec/write-all.ts";

export const cpCommand = defineCommand({
  name: "cp",
  summary: "Copy a file into or out of a sandbox",
  description: ["Copies one file. A path in a sandbox is written <id>:<path>; - is standard input or output."],
  arguments: [
    { syntax: "<from>", description: "a file here, <id>:<path>, or -" },
    { syntax: "<to>", description: "a file or directory here, <id>:<path>, or -" },
  ],
  examples: [
    ["wrenn sandbox cp data.csv $id:/home/user/data.csv", "into the sandbox"],
    ["wrenn sandbox cp $id:/etc/os-release -", "out of it, to standard output"],
  ],
  async run({ config, output, signal }, [from = "", to = ""]) {
    const [source, target] = [inSandbox(from), inSandbox(to)];
    if ((source === undefined) === (target === undefined)) {
      throw new WrennError("invalid_request", "Cannot copy: one of the two paths has to be in a sandbox", {
        hint: "Write it as <id>:<path>",
      });
    }
    const client = await connect(config);
    if (target !== undefined) await upload(client, from, target, signal);
    else if (source !== undefined) await download(client, source, to, signal);
    if (output.json && to !== "-") output.line(JSON.stringify({ from, to }));
  },
});

interface SandboxPath {
  id: string;
  path: string;
}

function inSandbox(text: string): SandboxPath | undefined {
  const [, id, path] = /^(sb[0-9a-z]{20}):(.+)$/s.exec(text) ?? [];
  return id === undefined || path === undefined ? undefined : { id, path };
}

async function upload(client: ApiClient, from: string, { id, path }: SandboxPath, signal: AbortSignal): Promise<void> {
  const stream = from === "-" ? process.stdin : createReadStream(await existingFile(from));
  await client.writeFile(id, path, Readable.toWeb(stream) as ReadableStream<Uint8Array>, signal);
}

async function existingFile(path: string): Promise<string> {
  const found = await stat(path).catch((cause: NodeJS.ErrnoException) => {
    throw new WrennError("not_found", `Cannot read ${path}: ${cause.code}`, { cause });
  });
  if (found.isDirectory()) {
    throw new WrennError("invalid_request", `Cannot copy ${path}: it is a directory`, {
      hint: "Pack it: tar c DIRECTORY | wrenn sandbox exec ID -- tar x",
    });
  }
  return path;
}

/** A file that is there already is replaced when all of the new one has come. */
async function download(client: ApiClient, { id, path }: SandboxPath, to: string, signal: AbortSignal): Promise<void> {
  const bytes = await client.readFile(id, path, signal);
  if (to === "-") {
    for await (const chunk of bytes) if (!(await writeAll(process.stdout, chunk))) return;
    return;
  }
  const target = (await statIfExists(to))?.isDirectory() === true ? join(to, basename(path)) : to;
  const temporary = `${target}.${process.pid}.part`;
  const file = await open(temporary, "wx", 0o666);
  try {
    for await (const chunk of bytes) await file.write(chunk);
    await file.close();
    await rename(temporary, target, "cp");
  } catch (error) {
    await file.close();
    await remove(temporary, "cp.remove");
    throw error;
  }
}
