/** Directories as tar archives. What comes from a guest is not trusted: it writes nothing beside the directory. */
import { mkdir, readdir } from "node:fs/promises";
import { isAbsolute } from "node:path";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { extract, Pack, type ReadEntry } from "tar";
import { WrennError } from "@wrenn/errors";

/** What is in a directory here, without the directory itself. */
export async function* pack(directory: string): AsyncGenerator<Uint8Array> {
  const archive = new Pack({ cwd: directory, onWriteEntry: belongToNobody });
  for (const name of await readdir(directory)) archive.add(`./${name}`);
  yield* archive.end();
}

/**
 * Ids of users and numbers of files mean something else in the sandbox: there the files belong to who writes them.
 * @param entry on its way out: what it is has been looked at already
 */
function belongToNobody(entry: { stat?: object | undefined; myuser: string }): void {
  if (entry.stat !== undefined)
    Object.assign(entry.stat, { uid: 0, gid: 0, dev: undefined, ino: undefined, nlink: undefined });
  entry.myuser = "";
}

/**
 * Unpacks into a directory, which is made. Files belong to who runs this, and carry no set-user-id.
 * @returns what was left out, and why
 */
export async function unpack(archive: AsyncIterable<Uint8Array>, directory: string): Promise<string[]> {
  const leftOut: string[] = [];
  const unpacking = extract({
    cwd: directory,
    preserveOwner: false,
    filter: (path, found) => {
      const entry = found as ReadEntry;
      if (entry.mode !== undefined) entry.mode &= 0o777;
      if (entry.type !== "SymbolicLink" || !isAbsolute(entry.linkpath ?? "")) return true;
      leftOut.push(`${path}: a link to ${entry.linkpath}, which leads out of the directory`);
      return false;
    },
    onwarn: (_code, message, { entry }) =>
      leftOut.push(`${(entry as ReadEntry | undefined)?.path ?? "an entry"}: ${String(message)}`),
  });
  await mkdir(directory, { recursive: true });
  try {
    // what unpacks is no stream of Node's, and takes Buffers only
    await pipeline(Readable.from(archive, { objectMode: false }), unpacking);
  } catch (cause) {
    if (cause instanceof WrennError) throw cause; // of the way here
    const { message } = cause as Error;
    throw new WrennError("internal", `Cannot unpack the directory: ${message}`, { cause });
  }
  return leftOut;
}
