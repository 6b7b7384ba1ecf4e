/**
 * Copies a file or a directory into or out of a sandbox. Where it goes is as with cp: into a directory that is there,
 * under its own name; else it gets the name that is given. The contents of a directory are meant by `/.` at its end.
 */
import { createReadStream } from "node:fs";
import { open, stat } from "node:fs/promises";
import { basename, join } from "node:path";
import { remove, rename, statIfExists } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import type { ApiClient, SandboxPath } from "../api/client.ts";
import { writeAll } from "../exec/write-all.ts";
import { pack, unpack } from "./archive.ts";
import { Outgoing } from "./outgoing.ts";

/** `from` is a file or directory here, or `-` for standard input. */
export async function upload(
  client: ApiClient,
  from: string,
  { id, path }: SandboxPath,
  signal: AbortSignal,
): Promise<void> {
  if (from === "-") {
    await client.send("writeFile", { id, path }, new Outgoing("standard input", process.stdin), signal);
    return;
  }
  const found = await stat(from).catch((cause: NodeJS.ErrnoException) => {
    throw new WrennError("not_found", `Cannot read ${from}: ${cause.code}`, { cause });
  });
  const target =
    contentsOnly(from) || !(await isDirectoryThere(client, { id, path }, signal)) ? path : into(path, from);
  if (found.isDirectory()) {
    await client.send("writeTar", { id, path: target }, new Outgoing(from, pack(from)), signal);
    return;
  }
  // a pipe or a device has to be opened by its name
  await client.send("writeFile", { id, path: target }, new Outgoing(from, createReadStream(from)), signal);
}

/**
 * `to` is a file or directory here, or `-`, which gets a directory as a tar archive. What was not there before is
 * there when all of it has come; in a directory that was, files are replaced one by one.
 * @returns what was left out of a directory, and why
 */
export async function download(
  client: ApiClient,
  { id, path }: SandboxPath,
  to: string,
  signal: AbortSignal,
): Promise<string[]> {
  const isDirectory = await isDirectoryThere(client, { id, path }, signal);
  const bytes = await client.receive(isDirectory ? "readTar" : "readFile", { id, path }, signal);
  if (to === "-") {
    for await (const chunk of bytes) if (!(await writeAll(process.stdout, chunk))) break;
    return [];
  }
  const isInto = !contentsOnly(path) && (await statIfExists(to))?.isDirectory() === true;
  const target = isInto ? into(to, path) : to;
  if (!isDirectory) {
    await publish(target, (temporary) => writeFile(temporary, bytes));
    return [];
  }
  const present = await statIfExists(target);
  if (present === undefined) return await publish(target, (temporary) => unpack(bytes, temporary));
  if (present.isDirectory()) return await unpack(bytes, target);
  throw new WrennError("already_exists", `Cannot copy the directory to ${target}: that is a file`);
}

/** Makes something beside its place, and puts it there when it is whole. */
async function publish<T>(target: string, make: (temporary: string) => Promise<T>): Promise<T> {
  const temporary = `${target}.${process.pid}.part`;
  try {
    const result = await make(temporary);
    await rename(temporary, target, "cp");
    return result;
  } catch (error) {
    await remove(temporary, "cp.remove");
    throw unwritable(target, error);
  }
}

function unwritable(target: string, error: unknown): WrennError {
  const mapped = WrennError.from(error);
  const { code } = error as NodeJS.ErrnoException;
  if (mapped === error || mapped.code !== "internal" || code === undefined) return mapped;
  return new WrennError("invalid_request", `Cannot write ${target}: ${code}`, {
    cause: error,
    hint: "Name a place in a directory that is there, and that you may write to",
  });
}

async function writeFile(path: string, bytes: AsyncIterable<Uint8Array>): Promise<void> {
  await using file = await open(path, "wx", 0o666);
  // not `write`, which may write less than all of it
  for await (const chunk of bytes) await file.writeFile(chunk);
}

/** Also through a link. */
async function isDirectoryThere(client: ApiClient, { id, path }: SandboxPath, signal: AbortSignal): Promise<boolean> {
  try {
    const { type } = await client.call("statFile", { path: { id }, query: { path }, signal });
    if (type !== "symlink") return type === "directory";
    await client.call("listFiles", { path: { id }, query: { path }, signal });
    return true;
  } catch (error) {
    const { code } = WrennError.from(error);
    if (code !== "not_found" && code !== "invalid_request") throw error;
    await client.call("getSandbox", { path: { id }, signal }); // it may be the sandbox that is not there
    return false;
  }
}

const contentsOnly = (path: string): boolean => /(^|\/)\.\/*$/.test(path);

const into = (directory: string, path: string): string => join(directory, basename(path));
