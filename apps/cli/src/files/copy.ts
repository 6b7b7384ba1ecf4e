/** One file into or out of a sandbox. */
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { Readable } from "node:stream";
import { remove, rename, statIfExists } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { ApiClient } from "../api/client.ts";
import { writeAll } from "../exec/write-all.ts";

export interface SandboxPath {
  id: string;
  path: string;
}

/** `from` is a file here, or `-` for standard input. */
export async function upload(
  client: ApiClient,
  from: string,
  { id, path }: SandboxPath,
  signal: AbortSignal,
): Promise<void> {
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

/** `to` is a file or directory here, or `-`. A file that is there is replaced when all of the new one has come. */
export async function download(
  client: ApiClient,
  { id, path }: SandboxPath,
  to: string,
  signal: AbortSignal,
): Promise<void> {
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
